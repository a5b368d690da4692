/* The gear of calls that go by the rules (rules/reconcile.h); in mode=observe and mode=strict, where the rules change nothing, by
 * CPython's own functions. Its functions, judged_NAME, are declared in gear.h. What is about to go wrong in a way that is not
 * repaired is reported before the call (diagnose/observe.h). Here is what precedes the rule of a call, for the recorder, too. */
#pragma once

#include "cpython/cpython.h"

/* PyGILState_Ensure and PyThreadState_New; do not return on a thread that comes after the end of the interpreter. */
void judged_before_ensure(const void *caller);
void judged_before_new(const void *caller);

/* PyEval_RestoreThread of `state`: the state to attach instead, which is another one if `state` is NULL. */
PyThreadState *judged_before_restore(PyThreadState *state, const void *caller);

/* PyEval_AcquireThread. Both may end a thread that comes too late. */
void judged_before_acquire(PyThreadState *state, const void *caller);

/* libc's pthread_exit is about to be called. */
void judged_before_pthread_exit(const void *caller);
