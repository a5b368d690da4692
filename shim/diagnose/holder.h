/* Finds the thread that holds a GIL, from outside and without taking the GIL.
 *
 * Up to 3.11 the attached state is one global, so only its thread has to be found. From 3.12 on each thread has its own
 * attached state, in a thread-local of CPython whose place current.c knows. Threads that never called the shim are
 * found by the states that they made. If there are several GILs, CPython is asked which state holds this one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cpython/cpython.h"

enum holder_kind {
    HOLDER_NONE,    /* no thread has a state attached: the GIL is free at the moment, or held without a state */
    HOLDER_THREAD,  /* `tid` has `state` attached */
    HOLDER_UNKNOWN, /* up to 3.11: `state` is attached, but its thread cannot be told */
    HOLDER_UNSEEN,  /* 3.12+: none of the threads that could be looked at has a state attached */
};

struct holder {
    enum holder_kind kind;
    pid_t tid;
    PyThreadState *state;
};

/* Looks once for the holder. `gil`: of which GIL, as gil.h calls it; GIL_NOT_TOLD: of any. `waiter`: prefer a holder other than this thread. `may_copy`: threads that the shim has
 * not seen may be searched in a copy of the process, up to a time limit (3.12+). For the watch thread. */
void holder_find(pid_t waiter, bool may_copy, int64_t gil, struct holder *holder);

/* Returns true if the thread with this pthread_self() made `state`, which may be gone. Async-signal-safe. */
bool holder_made(uintptr_t pthread, const PyThreadState *state);

/* Returns the thread that has the state attached, or had when it was last heard of it; 0 if that can't be told. For the watch
 * thread. */
pid_t holder_thread_of(const PyThreadState *state);

/* Returns the tid (gettid) of a pthread_self(), or 0 if it cannot be told. */
pid_t holder_tid_of(uintptr_t pthread);
