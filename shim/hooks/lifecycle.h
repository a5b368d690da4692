/* The short way of the calls by which a settled thread's one state is made, attached for the first time, cleared, deleted, and
 * swapped out and in: what pybind11's gil_scoped_acquire does on a thread that Python has not made, each time anew. By the
 * rules (life.c, attach.c) each of these calls looks at the whole record twice, to find it as plain as it was.
 *
 * While such a call runs, or between two of them, there may be one thing that rules have to know: its state is being
 * freed, or the GIL is held without it. The record says so, and the thread takes the long way meanwhile; but it remembers
 * that it was settled until the first rule is asked (owner_fast.aside), and is so again afterwards if none was.
 *
 * The wrappers of a plain thread come here at once; where calls are recorded, the recorder asks here before the rules. Each returns false,
 * with nothing changed, if the call has to go by the rules. No locks but the registry's; none is async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* PyThreadState_New, whole. *made may become NULL: CPython has no memory. */
bool lifecycle_new(PyInterpreterState *interp, PyThreadState **made);

/* Before the real PyEval_AcquireThread or RestoreThread of `state`, which this thread has had from its making on. */
bool lifecycle_attach(const PyThreadState *state);

/* PyThreadState_Clear, whole. */
bool lifecycle_clear(PyThreadState *state);

/* PyThreadState_DeleteCurrent, and PyThreadState_Delete of the state that this thread has saved away; whole. */
bool lifecycle_delete_current(void);
bool lifecycle_delete(PyThreadState *state);

/* Before the real PyEval_SaveThread, of the state that an Ensure has made: 2.7 has to be asked whether it is in the slot. */
bool lifecycle_save(void);

/* Before the real PyThreadState_Swap. */
bool lifecycle_swap(const PyThreadState *state);
