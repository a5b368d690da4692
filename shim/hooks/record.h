/* Recording: the calls that attach, detach, make and delete states, noted in the journal on their way to the rules
 * (reconcile.h) or, where the thread is settled or the mode only looks on, to the real function. Called in place of the
 * rules of the same name while journal_is_on. The same holds for them: they may wait, run Python code, not return. */
#pragma once

#include "states/owner.h"

int record_ensure(const void *caller);
void record_release(int gilstate, const void *caller);

/* The same on a settled thread whose state `own` is attached: only the count changes. */
int record_ensure_again(PyThreadState *own, const void *caller);
void record_release_again(PyThreadState *own, const void *caller);

void record_attach(PyThreadState *state, enum block_by by, const void *caller);
PyThreadState *record_save(const void *caller);
void record_release_thread(PyThreadState *state, const void *caller);
PyThreadState *record_swap(PyThreadState *state, const void *caller);
void record_acquire_lock(const void *caller);
void record_release_lock(const void *caller);
PyThreadState *record_new(PyInterpreterState *interp, const void *caller);
void record_clear(PyThreadState *state, const void *caller);
void record_delete(PyThreadState *state, const void *caller);
void record_delete_current(const void *caller);
void record_end_interpreter(PyThreadState *state, const void *caller);

/* Around the functions that start and end an interpreter. `call`: which, by its index in real_api_names. */
void record_initializes(uint16_t call, const void *caller);
void record_initialized(uint16_t call, const void *caller);
void record_finalizes(uint16_t call, const void *caller);
void record_finalized(uint16_t call, const void *caller);
void record_new_interpreter(uint16_t call, PyThreadState *state, const void *caller);
