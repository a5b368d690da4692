/* Up to 3.11: whether the GIL under which a thread runs Python is one that it took itself. "Attached" is one global for the
 * process there, so a thread may run under a GIL that another one holds for it (a host whose main thread waits meanwhile), that was
 * handed over to it, or that nobody minds because the host has a lock of its own; and PyThreadState_Swap takes no GIL. Such a
 * thread holds nothing that it could wait for itself for (`held`), or that is to be given back for it (`orphan`), and the
 * state that it found there stays whose it was (`moved`).
 *
 * A thread has the GIL from an attach that may wait for it (RestoreThread, AcquireThread, Ensure, AcquireLock; CPython's own on
 * threads of its own) to the detach; in between it may have no state attached, after PyThreadState_Swap(NULL) or
 * Py_EndInterpreter. That is lost when another thread that has not the GIL swaps a state in: it was handed over.
 *
 * From 3.12 on what is attached is a thread's own, with its GIL; but for PyEval_ReleaseLock, which leaves it attached. Nothing here takes a lock or calls into CPython but its
 * getters. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* Who holds the GIL with no state attached, as far as seen; NULL: nobody. */
extern struct owner *taken_without_state_by __attribute__((visibility("hidden")));

static inline bool taken_is_without_state(const struct owner *me) {
    return __atomic_load_n(&taken_without_state_by, __ATOMIC_RELAXED) == me;
}

/* Whether `me`, the calling thread, holds the GIL by its own doing. `current` is what it has attached (NULL: nothing). */
bool taken_here(struct owner *me, const PyThreadState *current);

/* The same with no state attached: taken_is_without_state, after a look at what is attached. */
bool taken_without_state(struct owner *me);

/* `me` has the GIL, and from now on no state; or no GIL either (any more). */
void taken_keeps_without_state(struct owner *me);
void taken_is_over(const struct owner *me);

/* The calling thread attaches, or gives back the GIL, without having had it: who held it without a state holds it no
 * more. */
void taken_by_another(void);
