/* Who holds the GIL, asked from outside, without taking it.
 *
 * Up to 3.11 the attached state is one global; what is left is to find its thread. From 3.12 on each thread has its own, a
 * thread-local of CPython's whose place current.c knows. Threads that never called the shim are found by the states they
 * made. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cpython/cpython.h"

enum holder_kind {
    HOLDER_NONE,    /* no thread has a state attached: the GIL is free just now, or held without a state */
    HOLDER_THREAD,  /* `tid` has `state` attached */
    HOLDER_UNKNOWN, /* up to 3.11: `state` is attached, to a thread that can't be told */
    HOLDER_UNSEEN,  /* 3.12+: none of the threads that could be looked at has a state attached */
};

struct holder {
    enum holder_kind kind;
    pid_t tid;
    PyThreadState *state;
};

/* Looks once. `may_copy`: threads that the shim has not met may be sought in a copy of the process, up to a time limit
 * (3.12+). `waiter`: prefer a holder other than this thread. For the watch thread. */
void holder_find(pid_t waiter, bool may_copy, struct holder *holder);

/* The thread (gettid) of a pthread_self(); 0: it can't be told. */
pid_t holder_tid_of(uintptr_t pthread);
