/* The gear in which the only state of a settled thread is made, attached when it is not parked, cleared, deleted, and
 * swapped out and in. On a thread that Python has not started, pybind11's gil_scoped_acquire makes a state each time,
 * attaches it, clears it and deletes it. With the rules (life.c, attach.c), each of these calls would examine the whole
 * record twice only to find that the thread needs no rule.
 *
 * During such a call, or between two of them, a rule would have to know one thing: that the state is being freed, or
 * that the GIL is held without a state. It is noted in the record, and the thread is not settled meanwhile. If no rule
 * is called in that time, the thread is settled again afterwards (owner_fast.lifecycle_epoch).
 *
 * record.c and judged.c call the functions below, too, before a rule. Each returns true if the call is dealt with, as
 * its comment says. It returns false, and has changed nothing, if the call has to go by the rules. They take the
 * registry's lock; if a rule was called during the real call, the second half of the rule follows (reconcile.h). None
 * is async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* PyThreadState_New: calls the real function and sets *made to its result, which is NULL without memory. */
bool lifecycle_new(PyInterpreterState *interp, PyThreadState **made);

/* To be called before the real PyEval_AcquireThread or RestoreThread of `state`: true if it is this thread's, not
 * parked, and nothing is attached. */
bool lifecycle_attach(const PyThreadState *state);

/* PyThreadState_Clear of the attached state: calls the real function. */
bool lifecycle_clear(PyThreadState *state);

/* PyThreadState_DeleteCurrent, and PyThreadState_Delete of the parked state: call the real function. */
bool lifecycle_delete_current(void);
bool lifecycle_delete(PyThreadState *state);

/* To be called before the real PyEval_SaveThread, if an Ensure has made the attached state since the last rule and the
 * place of the slot is not known (2.7): CPython is asked whether the state is in the slot. */
bool lifecycle_save(void);

/* To be called before the real PyThreadState_Swap: true if it detaches this thread's state (`state` is NULL), or
 * attaches the one that was detached in this way. */
bool lifecycle_swap(const PyThreadState *state);
