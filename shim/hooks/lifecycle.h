/* The gear in which the one state of a settled thread is made, attached for the first time, cleared, deleted, and swapped out
 * and in. pybind11's gil_scoped_acquire does all of that each time on a thread that Python has not made. By the rules
 * (life.c, attach.c) each of these calls would look at the whole record twice, and find it as plain as before.
 *
 * During such a call, or between two of them, the rules may have to know one thing: the state is being freed, or the GIL is
 * held without it. The record says so, and the thread is not settled meanwhile. If no rule is called in that time, the
 * thread is settled again afterwards (owner_fast.lifecycle_epoch).
 *
 * The functions below are for the recorder too, which calls them before the rules. Each returns false, and has changed
 * nothing, if the call has to go by the rules. They take no lock but the registry's. None is async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Does all of PyThreadState_New. *made is NULL if CPython has no memory. */
bool lifecycle_new(PyInterpreterState *interp, PyThreadState **made);

/* For the moment before the real PyEval_AcquireThread or RestoreThread of `state`, which this thread has made. */
bool lifecycle_attach(const PyThreadState *state);

/* Does all of PyThreadState_Clear. */
bool lifecycle_clear(PyThreadState *state);

/* Do all of PyThreadState_DeleteCurrent, and of PyThreadState_Delete of the state that this thread has saved away. */
bool lifecycle_delete_current(void);
bool lifecycle_delete(PyThreadState *state);

/* For the moment before the real PyEval_SaveThread of a state that an Ensure has made. Asks 2.7 whether it is in the slot. */
bool lifecycle_save(void);

/* For the moment before the real PyThreadState_Swap. */
bool lifecycle_swap(const PyThreadState *state);
