/* Up to 3.11: whether the GIL under which a thread runs Python is one that the thread took itself. There "attached" is
 * one global for the process. A thread may therefore run under a GIL that another thread holds for it (a host whose
 * main thread waits for it), that was handed over to it, or that nobody minds because the host has a lock of its own;
 * and PyThreadState_Swap takes no GIL. Such a thread holds no GIL that it could deadlock on itself (`held`) or that has
 * to be given back for it (`orphan`), and the state that it found attached keeps its owner (`moved`).
 *
 * A thread has the GIL from an attach that may wait for the GIL (RestoreThread, AcquireThread, Ensure, AcquireLock;
 * CPython's own attach on threads that CPython starts) to the detach. In between it may have no state attached, after
 * PyThreadState_Swap(NULL) or Py_EndInterpreter. It no longer has the GIL when another thread, which has not taken the
 * GIL, swaps a state in: the GIL was handed over.
 *
 * From 3.12 on a state is attached to one thread and comes with the GIL, except after PyEval_ReleaseLock, which leaves
 * the state attached. Nothing here takes a lock or calls into CPython except its getters. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* The thread that holds the GIL with no state attached, as far as seen. NULL: none. */
extern struct owner *taken_without_state_by __attribute__((visibility("hidden")));

static inline bool taken_is_without_state(const struct owner *me) {
    return __atomic_load_n(&taken_without_state_by, __ATOMIC_RELAXED) == me;
}

/* Returns true if `me`, the calling thread, holds the GIL and took it itself. `current` is the state it has attached,
 * or NULL. */
bool taken_here(struct owner *me, const PyThreadState *current);

/* Like taken_here with no state attached: taken_is_without_state, after checking what is attached. */
bool taken_without_state(struct owner *me);

/* taken_keeps_without_state: `me` has the GIL and no state from now on. taken_is_over: that ends; `me` has a state
 * again, or no GIL. */
void taken_keeps_without_state(struct owner *me);
void taken_is_over(const struct owner *me);

/* The calling thread attaches, or gives back the GIL, without having had it. So the thread that held the GIL without a
 * state no longer holds it. */
void taken_by_another(void);
