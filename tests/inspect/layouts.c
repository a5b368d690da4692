/* Prints the layout of one CPython, compiled against its headers: a line of shim/cpython/layouts.def, and from 3.13 on one
 * with the places of the same fields in _Py_DebugOffsets. tests/inspect/layouts.sh compiles it. */
#define Py_BUILD_CORE 1
#include <Python.h>

#include <frameobject.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if PY_VERSION_HEX >= 0x03080000
#include <internal/pycore_pystate.h>
#elif PY_VERSION_HEX >= 0x03070000
#include <internal/pystate.h>
#endif
#if PY_VERSION_HEX >= 0x030b0000
#include <internal/pycore_frame.h>
#endif
#if PY_VERSION_HEX >= 0x03090000
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#endif
#if PY_VERSION_HEX >= 0x030d0000
#include <internal/pycore_code.h>
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_debug_offsets.h>
#include <internal/pycore_interpframe_structs.h>
#endif

#include "cpython/layout.h"

#define AT(name, type, field) layout.name = (int32_t)offsetof(type, field)

static struct layout layout;

#if PY_MAJOR_VERSION >= 3
/* The bit of a bit field in the word of `state` that is set first. */
#define BIT(to, field)                           \
    do {                                         \
        PyASCIIObject text;                      \
        uint32_t word = 0;                       \
        memset(&text, 0, sizeof text);           \
        text.state.field = 1;                    \
        memcpy(&word, &text.state, sizeof word); \
        layout.to = __builtin_ctz(word);         \
    } while (0)

static void fill_text(void) {
    AT(bytes_size, PyBytesObject, ob_base.ob_size);
    AT(bytes_data, PyBytesObject, ob_sval);
    AT(text_length, PyASCIIObject, length);
    AT(text_state, PyASCIIObject, state);
    BIT(text_kind, kind);
    BIT(text_is_compact, compact);
    BIT(text_is_ascii, ascii);
    layout.text_ascii = sizeof(PyASCIIObject);
    layout.text_compact = sizeof(PyCompactUnicodeObject);
}
#else
static void fill_text(void) {
    AT(bytes_size, PyStringObject, ob_size);
    AT(bytes_data, PyStringObject, ob_sval);
}
#endif

static void fill_interpreter(void) {
    AT(interp_next, PyInterpreterState, next);
#if PY_VERSION_HEX >= 0x030b0000
    AT(interp_states, PyInterpreterState, threads.head);
#else
    AT(interp_states, PyInterpreterState, tstate_head);
#endif
#if PY_VERSION_HEX >= 0x03070000
    AT(interp_id, PyInterpreterState, id);
#endif
#if PY_VERSION_HEX >= 0x030c0000
    AT(interp_gil, PyInterpreterState, ceval.gil);
    AT(interp_own_gil, PyInterpreterState, ceval.own_gil);
    AT(interp_finalizing, PyInterpreterState, _finalizing);
#endif
}

#if PY_VERSION_HEX >= 0x03070000
static void fill_runtime(void) {
    AT(runtime_head, _PyRuntimeState, interpreters.head);
#if PY_VERSION_HEX >= 0x03090000
    AT(runtime_finalizing, _PyRuntimeState, _finalizing);
#else
    AT(runtime_finalizing, _PyRuntimeState, finalizing);
#endif
#if PY_VERSION_HEX < 0x030c0000
    AT(runtime_current, _PyRuntimeState, gilstate.tstate_current);
    AT(runtime_gil, _PyRuntimeState, ceval.gil);
    AT(runtime_key, _PyRuntimeState, gilstate.autoTSSkey);
#elif PY_VERSION_HEX < 0x030f0000
    AT(runtime_key, _PyRuntimeState, autoTSSkey);
#endif
#ifdef Py_GIL_DISABLED
    AT(gil_enabled, struct _gil_runtime_state, enabled);
#endif
    AT(gil_interval, struct _gil_runtime_state, interval);
    AT(gil_holder, struct _gil_runtime_state, last_holder);
    AT(gil_locked, struct _gil_runtime_state, locked);
    AT(gil_switches, struct _gil_runtime_state, switch_number);
    AT(gil_cond, struct _gil_runtime_state, cond);
    AT(gil_mutex, struct _gil_runtime_state, mutex);
    AT(gil_switch_cond, struct _gil_runtime_state, switch_cond);
    AT(gil_switch_mutex, struct _gil_runtime_state, switch_mutex);
    layout.gil_size = sizeof(struct _gil_runtime_state);
}
#else
static void fill_runtime(void) {
}
#endif

static void fill_state(void) {
    AT(state_next, PyThreadState, next);
    AT(state_interp, PyThreadState, interp);
    AT(state_thread, PyThreadState, thread_id);
    AT(state_counter, PyThreadState, gilstate_counter);
#if PY_VERSION_HEX >= 0x03070000
    AT(state_id, PyThreadState, id);
#endif
#if PY_VERSION_HEX >= 0x030d0000
    AT(state_frame, PyThreadState, current_frame);
    AT(state_attachment, PyThreadState, state);
#elif PY_VERSION_HEX >= 0x030b0000
    AT(state_frame, PyThreadState, cframe);
    AT(cframe_frame, _PyCFrame, current_frame);
#else
    AT(state_frame, PyThreadState, frame);
#endif
#if PY_VERSION_HEX >= 0x030b0000
    AT(state_native, PyThreadState, native_thread_id);
#endif
}

static void fill_pause(void) {
#ifdef Py_GIL_DISABLED
    AT(runtime_pause, _PyRuntimeState, stoptheworld);
    AT(interp_pause, PyInterpreterState, stoptheworld);
    AT(pause_requested, struct _stoptheworld_state, requested);
    AT(pause_stopped, struct _stoptheworld_state, world_stopped);
    AT(pause_requester, struct _stoptheworld_state, requester);
    AT(state_qsbr, _PyThreadStateImpl, qsbr);
    AT(qsbr_state, struct _qsbr_thread_state, tstate);
    AT(qsbr_allocated, struct _qsbr_thread_state, allocated);
#endif
}

static void fill_frame(void) {
#if PY_VERSION_HEX >= 0x030b0000
    AT(frame_back, _PyInterpreterFrame, previous);
    AT(frame_owner, _PyInterpreterFrame, owner);
#if PY_VERSION_HEX >= 0x030d0000
    AT(frame_code, _PyInterpreterFrame, f_executable);
    AT(frame_at, _PyInterpreterFrame, instr_ptr);
#else
    AT(frame_code, _PyInterpreterFrame, f_code);
    AT(frame_at, _PyInterpreterFrame, prev_instr);
#endif
#if defined Py_GIL_DISABLED && PY_VERSION_HEX >= 0x030e0000
    AT(frame_tlbc, _PyInterpreterFrame, tlbc_index);
    AT(code_tlbc, PyCodeObject, co_tlbc);
#endif
#else
    AT(frame_back, PyFrameObject, f_back);
    AT(frame_code, PyFrameObject, f_code);
    AT(frame_at, PyFrameObject, f_lasti);
#endif
    AT(code_file, PyCodeObject, co_filename);
    AT(code_name, PyCodeObject, co_name);
    AT(code_line, PyCodeObject, co_firstlineno);
#if PY_VERSION_HEX >= 0x030a0000
    AT(code_lines, PyCodeObject, co_linetable);
#else
    AT(code_lines, PyCodeObject, co_lnotab);
#endif
#if PY_VERSION_HEX >= 0x030b0000
    AT(code_bytes, PyCodeObject, co_code_adaptive);
#endif
}

/* Where _Py_DebugOffsets says what the layout has. */
static struct layout places;

static void fill_places(void) {
#if PY_VERSION_HEX >= 0x030d0000
#define PLACE(name, field) places.name = (int32_t)offsetof(_Py_DebugOffsets, field)
    PLACE(object_type, pyobject.ob_type);
    PLACE(runtime_head, runtime_state.interpreters_head);
    PLACE(runtime_finalizing, runtime_state.finalizing);
    PLACE(interp_next, interpreter_state.next);
    PLACE(interp_id, interpreter_state.id);
    PLACE(interp_states, interpreter_state.threads_head);
    PLACE(interp_gil, interpreter_state.ceval_gil);
    PLACE(state_next, thread_state.next);
    PLACE(state_interp, thread_state.interp);
    PLACE(state_frame, thread_state.current_frame);
    PLACE(state_thread, thread_state.thread_id);
    PLACE(state_native, thread_state.native_thread_id);
    PLACE(frame_back, interpreter_frame.previous);
    PLACE(frame_code, interpreter_frame.executable);
    PLACE(frame_at, interpreter_frame.instr_ptr);
    PLACE(frame_owner, interpreter_frame.owner);
    PLACE(code_file, code_object.filename);
    PLACE(code_name, code_object.name);
    PLACE(code_line, code_object.firstlineno);
    PLACE(code_lines, code_object.linetable);
    PLACE(code_bytes, code_object.co_code_adaptive);
    PLACE(bytes_size, bytes_object.ob_size);
    PLACE(bytes_data, bytes_object.ob_sval);
    PLACE(text_length, unicode_object.length);
    PLACE(text_state, unicode_object.state);
    PLACE(text_ascii, unicode_object.asciiobject_size);
#endif
#if PY_VERSION_HEX >= 0x030e0000 && defined Py_GIL_DISABLED
    PLACE(frame_tlbc, interpreter_frame.tlbc_index);
    PLACE(code_tlbc, code_object.co_tlbc);
#endif
}

#ifdef __aarch64__
#define MACHINE "aarch64"
#else
#define MACHINE "x86_64"
#endif

static void print_row(const char *macro, int is_larger, int is_free_threaded, const struct layout *row) {
    const int32_t *values = (const int32_t *)row;
    printf("%s(%s, %d, %d, %d, %d", macro, MACHINE, PY_MAJOR_VERSION, PY_MINOR_VERSION, is_larger, is_free_threaded);
    for (size_t i = 0; i < sizeof *row / sizeof *values; i++) {
        printf(", %d", values[i]);
    }
    printf(")\n");
}

int main(void) {
    int is_larger = 0, is_free_threaded = 0;
#if defined Py_TRACE_REFS && PY_VERSION_HEX < 0x030d0000 /* 3.13+: objects are no longer larger for it */
    is_larger = 1;
#endif
#ifdef Py_GIL_DISABLED
    is_free_threaded = 1;
#ifdef Py_DEBUG
    is_larger = 1;
#endif
#endif
    memset(&layout, 0xff, sizeof layout);
    memset(&places, 0xff, sizeof places);
    AT(object_type, PyObject, ob_type);
    fill_text();
    fill_runtime();
    fill_interpreter();
    fill_state();
    fill_pause();
    fill_frame();
    fill_places();
    print_row("LAYOUT", is_larger, is_free_threaded, &layout);
    if (places.runtime_head >= 0) {
        print_row("DEBUG_OFFSETS", 0, is_free_threaded, &places);
    }
    return 0;
}
