/* Decides which block a call begins or ends. The calls themselves do not say so: PyEval_SaveThread may begin a release
 * block or end an acquire block, and PyEval_AcquireThread may begin an acquire block or end a release block. What else
 * is known decides: the innermost block, the state's gilstate_counter, what a library's key was just asked, and the
 * caller.
 *
 * Nothing here calls into CPython. `me` is the calling thread's record. */
#pragma once

#include "states/owner.h"

/* Notes that `state` is about to be attached with nothing attached: a new block begins, or the state's release block
 * ends. `by` is the way the attach was asked for. */
void nesting_begin(struct owner *me, PyThreadState *state, enum block_by by);

/* Opens a release block of `state`, which is about to be detached and is to be attached again. It is attached, or just
 * was and the slot still stands as if it were. */
void nesting_begin_release(struct owner *me, PyThreadState *state);

/* Opens a block of `state`, which is about to be attached over a held GIL. `beneath` is the attached state, or NULL if
 * the GIL is held without one. Returns the new block, or NULL if there is no memory. */
struct block *nesting_begin_over(struct owner *me, PyThreadState *state, PyThreadState *beneath, enum block_by by,
                                 const void *caller);

/* Handles PyEval_SaveThread, or PyEval_ReleaseThread (`is_release_thread`), of `current`, which is attached. Returns
 * the block over a held GIL that the call ends. Returns NULL if the state is really to be detached, which is noted. */
const struct block *nesting_detach(struct owner *me, PyThreadState *current, bool is_release_thread,
                                   const void *caller);

/* Handles PyThreadState_Swap from `current` to `state`. One of them may be NULL. */
void nesting_swap(struct owner *me, PyThreadState *current, PyThreadState *state);

/* Returns true if PyEval_SaveThread, or PyEval_ReleaseThread (`is_release_thread`), of `current` just opens a release
 * block, whichever module calls it: nesting_detach would push that block and change nothing else. `counter` is the
 * count of `current`. */
bool nesting_is_release(struct owner *me, const PyThreadState *current, int counter, bool is_release_thread);
