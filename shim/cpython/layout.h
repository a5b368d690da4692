/* Where CPython's structures have which field: one layout for each version and kind of build.
 *
 * The table (layouts.def) is made from CPython's own headers by tests/inspect/layouts. From 3.13 on CPython says most of it itself,
 * in _PyRuntime.debug_offsets: that is believed before the table, if it is plausible. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name): offsets in bytes, or -1 if there is no such field.
 * runtime_: _PyRuntimeState. interp_: PyInterpreterState. state_: PyThreadState. cframe_: _PyCFrame (3.11, 3.12).
 * gil_: struct _gil_runtime_state. frame_: PyFrameObject up to 3.10, then _PyInterpreterFrame. code_: PyCodeObject.
 * bytes_: PyBytesObject, 2.7's PyStringObject. text_: PyUnicodeObject of 3.x. pause_: struct _stoptheworld_state.
 * qsbr_: struct _qsbr_thread_state. */
#define LAYOUT_FIELDS(X)                                                                                  \
    X(object_type)                                                                                        \
    X(runtime_head)       /* interpreters.head */                                                         \
    X(runtime_finalizing) /* _finalizing */                                                               \
    X(runtime_current)    /* gilstate.tstate_current, up to 3.11 */                                       \
    X(runtime_gil)        /* ceval.gil, up to 3.11: the structure itself */                               \
    X(runtime_key)        /* autoTSSkey, up to 3.14 */                                                    \
    X(interp_next)                                                                                        \
    X(interp_id)                                                                                          \
    X(interp_states)     /* threads.head */                                                               \
    X(interp_gil)        /* ceval.gil, 3.12+: a pointer */                                                \
    X(interp_own_gil)    /* ceval.own_gil */                                                              \
    X(interp_finalizing) /* _finalizing */                                                                \
    X(state_next)                                                                                         \
    X(state_interp)                                                                                       \
    X(state_frame)  /* frame, 3.11 and 3.12 cframe, then current_frame */                                 \
    X(state_thread) /* thread_id: pthread_self() */                                                       \
    X(state_native) /* native_thread_id */                                                                \
    X(state_id)                                                                                           \
    X(state_counter)    /* gilstate_counter */                                                            \
    X(state_attachment) /* state, 3.13+ */                                                                \
    X(cframe_frame)     /* current_frame */                                                               \
    X(gil_enabled)      /* free-threaded builds */                                                        \
    X(gil_interval)                                                                                       \
    X(gil_holder) /* last_holder */                                                                       \
    X(gil_locked)                                                                                         \
    X(gil_switches) /* switch_number */                                                                   \
    X(gil_cond)                                                                                           \
    X(gil_mutex)                                                                                          \
    X(gil_switch_cond)                                                                                    \
    X(gil_switch_mutex)                                                                                   \
    X(gil_size) /* sizeof */                                                                              \
    X(frame_back)                                                                                         \
    X(frame_code)  /* f_code, 3.13+ f_executable */                                                       \
    X(frame_at)    /* f_lasti, 3.11+ prev_instr, 3.13+ instr_ptr */                                       \
    X(frame_owner) /* 3.11+ */                                                                            \
    X(frame_tlbc)  /* tlbc_index, free-threaded builds of 3.14+ */                                        \
    X(code_file)                                                                                          \
    X(code_name)                                                                                          \
    X(code_line)  /* co_firstlineno */                                                                    \
    X(code_lines) /* co_lnotab, 3.10+ co_linetable */                                                     \
    X(code_bytes) /* co_code_adaptive, 3.11+ */                                                           \
    X(code_tlbc)  /* co_tlbc, free-threaded builds of 3.14+ */                                            \
    X(bytes_size)                                                                                         \
    X(bytes_data)                                                                                         \
    X(text_length)                                                                                        \
    X(text_state)                                                                                         \
    X(text_kind)       /* bit number of state.kind, which has 3 bits */                                   \
    X(text_is_compact) /* bit number */                                                                   \
    X(text_is_ascii)   /* bit number */                                                                   \
    X(text_ascii)      /* sizeof(PyASCIIObject): its characters follow */                                 \
    X(text_compact)    /* sizeof(PyCompactUnicodeObject): its characters follow */                        \
    X(runtime_pause)   /* stoptheworld: of all interpreters; free-threaded builds, as all that follows */ \
    X(interp_pause)    /* stoptheworld */                                                                 \
    X(pause_requested)                                                                                    \
    X(pause_stopped) /* world_stopped */                                                                  \
    X(pause_requester)                                                                                    \
    X(state_qsbr) /* of _PyThreadStateImpl, which begins with the PyThreadState: a pointer */             \
    X(qsbr_state) /* tstate */                                                                            \
    X(qsbr_allocated)

struct layout {
#define X(name) int32_t name;
    LAYOUT_FIELDS(X)
#undef X
};

/* Sets `*layout` to the table's layout of that version and build, on this processor. `is_debug` makes a difference up to 3.7, where
 * objects are larger with Py_TRACE_REFS, which each debug build has, and in free-threaded builds. Returns false if the table has
 * none. */
bool layout_find(int major, int minor, bool is_debug, bool is_free_threaded, struct layout *layout);

/* 3.13+: what _PyRuntime.debug_offsets says about the build. Reads it at `runtime`. Returns false if it is not there: it is an
 * older CPython, or no CPython. */
bool layout_read_version(uintptr_t runtime, uint64_t *version_hex, bool *is_free_threaded);

/* 3.13+: puts the offsets of _PyRuntime.debug_offsets into `layout`, which has the table's. Returns false if one of them is
 * not plausible, or the version is not in the table; `layout` is unchanged then. */
bool layout_read_offsets(uintptr_t runtime, int minor, bool is_free_threaded, struct layout *layout);
