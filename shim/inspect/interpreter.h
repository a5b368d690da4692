/* What the memory of the target says about its CPython: which one it is, its interpreters, their GILs and their thread
 * states. 2.7 and 3.6 to 3.15, release and debug builds, with and without the GIL.
 *
 * Only target_read is used, so nothing of the target changes, and nothing that is read is trusted: a pointer may be
 * garbage, a list may be a circle, and the target may go on running while it is read. Each list has a limit, and every
 * object is checked by what it refers to. All addresses are the target's.
 *
 * The functions are for one thread, and may allocate. None of them prints. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cpython/layout.h"

struct target_object;

enum { INTERPRETER_CPYTHONS = 4 };

/* 3.6's static variables of the GIL. */
enum gil_variable {
    GIL_LOCKED,
    GIL_LAST_HOLDER,
    GIL_SWITCH_NUMBER,
    GIL_MUTEX,
    GIL_COND,
    GIL_SWITCH_MUTEX,
    GIL_SWITCH_COND,
    GIL_VARIABLES,
};

/* A CPython that is loaded in the target: in the executable, or in a libpython. */
struct interpreter_cpython {
    const struct target_object *object;
    int major, minor;      /* 3, 11 */
    int micro;             /* -1: not known */
    bool is_debug;         /* built with Py_DEBUG */
    bool is_traced;        /* built with Py_TRACE_REFS */
    bool is_free_threaded; /* built with Py_GIL_DISABLED */
    const char *reason;    /* NULL: it can be read. Otherwise why not, and only the fields above are valid */
    struct layout layout;  /* where its structures have which field */
    uintptr_t runtime;     /* _PyRuntime, 3.7+; else 0 */
    uintptr_t head;        /* the variable with the first interpreter */
    uintptr_t current;     /* up to 3.11: the variable with the attached state; else 0 */
    uintptr_t finalizing;  /* 3.6+: the variable with the finalizing state; 0: not known */
    uintptr_t lock;        /* 2.7: the variable `interpreter_lock`; 0: not known */
    uintptr_t gil_variables[GIL_VARIABLES]; /* 3.6: the GIL's static variables; 0: the file is stripped */
    uintptr_t code_type;                    /* PyCode_Type */
    uintptr_t key; /* 3.7 to 3.14: the variable with the pthread key of the gilstate slot; else 0 */
};

/* Finds the CPythons of the target. Returns how many were found and written into `found`, at most `capacity`. One of which
 * nothing more than the version can be told is listed, too, with the reason. Symbols are looked up in each call. */
size_t interpreter_find(struct interpreter_cpython *found, size_t capacity);

enum interpreter_lock_state {
    GIL_UNKNOWN, /* it can't be told */
    GIL_NONE, /* not created yet (up to 3.6: until the first thread is made), or destroyed, or the build runs without it */
    GIL_FREE,
    GIL_HELD,
};

/* A GIL: up to 3.11 there is one, from 3.12 on an interpreter can have its own. */
struct interpreter_gil {
    uintptr_t address; /* 3.7+: the structure; 2.7: the lock (a sem_t); 3.6: gil_locked; 0: not known */
    enum interpreter_lock_state lock;
    uintptr_t holder;      /* the state that has it attached; 0: none, or it can't be told */
    uintptr_t last_holder; /* the state that took it last, which may have been deleted; 0: none */
    bool has_switches;     /* true if `switches` is known */
    unsigned long
        switches; /* how often another state has taken it than the one before (sys.getswitchinterval's switches) */
};

/* A PyInterpreterState. */
struct interpreter {
    uintptr_t address;
    int64_t id;           /* 3.7+; before: its place in the list. The main interpreter's is 0 */
    size_t gil;           /* index into `gils` */
    bool has_own_gil;     /* 3.12+: it was made with a GIL of its own, as the main one is; others may share it */
    uintptr_t finalizing; /* 3.12+: the state that finalizes this interpreter; else 0 */
};

enum interpreter_attachment {
    STATE_DETACHED,
    STATE_ATTACHED,      /* its thread holds the GIL; without a GIL: it may run Python */
    STATE_SUSPENDED,     /* without a GIL: stopped for the garbage collector or the like */
    STATE_SHUTTING_DOWN, /* 3.14+: the interpreter has ended, its thread will hang as soon as it attaches it */
};

/* A PyThreadState. */
struct interpreter_state {
    uintptr_t address;
    size_t interpreter; /* index into `interpreters` */
    uint64_t id;        /* 3.7+: counts from 1 in each interpreter, never used again; else 0 */
    uintptr_t pthread;  /* pthread_self() of the thread that made it, or that it was bound to (3.12+); 0: not bound */
    pid_t tid;          /* the same as a thread id of this process; 0: the thread has ended, or it can't be told */
    pid_t
        attached_tid; /* 3.12+, if the state holds its GIL: the thread that has it attached, which may be another than `tid`; 0: it
                         * can't be told, then it is `tid` most likely */
    enum interpreter_attachment attachment;
    bool has_frame; /* it is in Python code */
    int gilstate_counter;
    uintptr_t slot; /* what its thread has in the gilstate slot, if has_slot */
    bool has_slot;  /* 3.7 to 3.14, glibc: false if the slot could not be found */
};

/* All that was read of one CPython. Release it with interpreter_release. */
struct interpreter_picture {
    const struct interpreter_cpython *cpython;
    size_t interpreter_count, state_count, gil_count;
    struct interpreter *interpreters; /* the newest first, as CPython lists them */
    struct interpreter_state *states; /* of each interpreter the newest first */
    struct interpreter_gil *gils;
    bool is_cut;          /* a list was too long, was a circle or could not be read to its end */
    uintptr_t finalizing; /* the state that finalizes the runtime (3.6+); 0: none */
    bool has_key;         /* the gilstate slot's key is `key` */
    unsigned key;
};

/* Reads interpreters, GILs and states of `cpython`, which has to outlive the picture. Returns false if there is no
 * interpreter (not initialized yet, or finalized), or memory ran out; the picture is empty then, and needs no release. */
bool interpreter_read(const struct interpreter_cpython *cpython, struct interpreter_picture *picture);
void interpreter_release(struct interpreter_picture *picture);

/* Reads one of the GILs of a picture again, to see whether it has moved: `gil->address` and the variables of the
 * CPython are read, no list is. Returns false, with `gil` unchanged, if it can't be read any more. */
bool interpreter_look_again(const struct interpreter_cpython *cpython, struct interpreter_gil *gil);

/* 2.7: reads how often the state's thread has run sys.getcheckinterval() instructions of Python code, after each of which it lets
 * go of the GIL and takes it again (tick_counter). Returns false if it can't be read, or with another version. */
bool interpreter_count_of_work(const struct interpreter_cpython *cpython, uintptr_t state, int *count);

/* Returns the state at `address`, or NULL if the picture has none there. */
const struct interpreter_state *interpreter_state_at(const struct interpreter_picture *picture, uintptr_t address);

/* Returns the thread that has an attached state, as far as it is known; of another state, the thread that made it. 0: not known. */
static inline pid_t interpreter_thread_of(const struct interpreter_state *state) {
    return state->attached_tid ? state->attached_tid : state->tid;
}

enum interpreter_wait {
    WAIT_ELSEWHERE,
    WAIT_FOR_GIL,   /* it waits until it gets the GIL */
    WAIT_FOR_TAKER, /* it has dropped the GIL on request, waits until another thread has taken it, then waits for it */
};

/* Tells what a thread waits for that sleeps in a futex call with this first argument. Sets `*gil` (may be NULL) to the index
 * of the GIL, if it is one. In 3.x such a wait ends every few milliseconds (sys.getswitchinterval()) and begins again, so a
 * waiter may be seen running. If the GIL's place is not known (an address of 0), the answer is WAIT_ELSEWHERE: 3.6 in a
 * stripped file has its GIL anywhere in the object's writable data. */
enum interpreter_wait interpreter_waits_for(const struct interpreter_picture *picture, uintptr_t futex, size_t *gil);

/* Returns the thread of the process with this pthread_self(), or 0. Needs a picture that was read before, since the place of the
 * tid in glibc's thread descriptor is learnt from the states. */
pid_t interpreter_tid_of(uintptr_t pthread);
