/* What a call is about to do to the process, told before it does: misuse that CPython ends the process for (in every
 * mode), and in mode=observe and mode=strict what repair would repair. Changes nothing, and asks only for what is safe to
 * ask. May not return: see report_tell. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Before the call of the same name. */
void observe_ensure(const void *caller);
void observe_release(int gilstate, const void *caller);
void observe_save(const void *caller);
void observe_attach(PyThreadState *state, const void *caller);
void observe_restore_null(const void *caller); /* PyEval_RestoreThread(NULL): what is repaired in mode=repair */
void observe_acquire_lock(const void *caller);
void observe_release_lock(const void *caller);
void observe_release_thread(PyThreadState *state, const void *caller);
void observe_swap(PyThreadState *state, const void *caller);
void observe_new(const void *caller);
void observe_delete(PyThreadState *state, const void *caller);
void observe_delete_current(const void *caller);
void observe_end_interpreter(PyThreadState *state, const void *caller);
void observe_finalize(const void *caller); /* and what crashes without a state: PyEval_GetBuiltins, ... */

/* The calling thread is about to be inside Py_Finalize; or is through. */
void observe_finalizes(bool is_inside);

/* After it, where the modes look on: `state` was attached; was made; has died; a library's key answered `value`. */
void observe_attached(PyThreadState *state, const void *caller);
void observe_made(const PyThreadState *state);
void observe_died(const PyThreadState *state);
void observe_key_answers(const void *value, const void *caller);
