/* Reports what a call is about to do to the process, before it does it: in every mode the misuse for which CPython ends
 * the process, and in mode=observe and mode=strict what mode=repair would repair. Changes nothing, and asks CPython
 * only what is safe to ask. May not return: see report_tell. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Called before the function of the same name. */
void observe_ensure(const void *caller);
void observe_release(int gilstate, const void *caller);
void observe_save(const void *caller);
void observe_attach(PyThreadState *state, const void *caller);
void observe_restore_null(const void *caller); /* PyEval_RestoreThread(NULL), which mode=repair repairs */
void observe_acquire_lock(const void *caller);
void observe_release_lock(const void *caller);
void observe_release_thread(PyThreadState *state, const void *caller);
void observe_swap(PyThreadState *state, const void *caller);
void observe_new(const void *caller);
void observe_delete(PyThreadState *state, const void *caller);
void observe_delete_current(const void *caller);
void observe_in_child(void); /* of a fork, in the handler of pthread_atfork */
void observe_end_interpreter(PyThreadState *state, const void *caller);
void observe_finalize(const void *caller); /* also for PyEval_GetBuiltins, ..., which crash without a state */

/* Called when the calling thread is about to enter Py_Finalize, and when it has left it. */
void observe_finalizes(bool is_inside);

/* Called after the call, in the modes that observe: `state` was attached, was made, has died; a library's key gave
 * `value`. */
void observe_attached(PyThreadState *state, const void *caller);
void observe_made(const PyThreadState *state);
void observe_died(const PyThreadState *state);
void observe_key_answers(const void *value, const void *caller);
