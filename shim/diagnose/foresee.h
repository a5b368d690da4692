/* What a call is about to do to the process, told before it does: misuse that CPython ends the process for (in every
 * mode), and in mode=observe and mode=strict what repair would repair. Changes nothing, and asks only for what is safe to
 * ask. May not return: see report_tell. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Before the call of the same name. */
void foresee_ensure(const void *caller);
void foresee_release(int gilstate, const void *caller);
void foresee_save(const void *caller);
void foresee_attach(PyThreadState *state, const void *caller);
void foresee_restore_null(const void *caller); /* PyEval_RestoreThread(NULL): what is repaired in mode=repair */
void foresee_acquire_lock(const void *caller);
void foresee_release_lock(const void *caller);
void foresee_release_thread(PyThreadState *state, const void *caller);
void foresee_swap(PyThreadState *state, const void *caller);
void foresee_new(const void *caller);
void foresee_delete(PyThreadState *state, const void *caller);
void foresee_delete_current(const void *caller);
void foresee_end_interpreter(PyThreadState *state, const void *caller);
void foresee_finalize(const void *caller); /* and what crashes without a state: PyEval_GetBuiltins, ... */

/* The calling thread is about to be inside Py_Finalize; or is through. */
void foresee_finalizes(bool is_inside);

/* After it, where the modes look on: `state` was attached; was made; has died; a library's key answered `value`. */
void foresee_attached(PyThreadState *state, const void *caller);
void foresee_made(const PyThreadState *state);
void foresee_died(const PyThreadState *state);
void foresee_key_answers(const void *value, const void *caller);
