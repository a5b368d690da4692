/* The gear of calls that go by the rules (rules/reconcile.h) or, in mode=observe and mode=strict, to CPython's own
 * functions. What is about to go wrong and is not repaired is reported before the call (diagnose/observe.h). The
 * functions of the gear, judged_NAME, are declared in gear.h. Those below precede the rule or the real function;
 * record.c calls them, too. `caller`: see gear.h. None is async-signal-safe. */
#pragma once

#include "cpython/cpython.h"

/* Called before PyGILState_Ensure and PyThreadState_New. After the end of the interpreter they may not return
 * (reconcile_stop_if_late). */
void judged_before_ensure(const void *caller);
void judged_before_new(const void *caller);

/* Called before PyEval_RestoreThread of `state`. Returns the state to attach: `state`, or if that is NULL this thread's
 * own (reconcile_instead_of_null), or NULL if there is none. May end the thread (reconcile_end_if_late). */
PyThreadState *judged_before_restore(PyThreadState *state, const void *caller);

/* Called before PyEval_AcquireThread of `state`. May end the thread (reconcile_end_if_late). */
void judged_before_acquire(PyThreadState *state, const void *caller);

/* Called before libc's pthread_exit. May not return (reconcile_before_pthread_exit). */
void judged_before_pthread_exit(const void *caller);
