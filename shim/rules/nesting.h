/* Which block a call begins or ends. The calls themselves don't say it: PyEval_SaveThread may be the begin of a release
 * block or the end of an acquire block, PyEval_AcquireThread the begin of one or the end of the other. What else is known
 * decides: what stands innermost, the state's gilstate_counter, what a library's key was just asked, who calls.
 *
 * Nothing here calls into CPython. `me` is the calling thread's record. */
#pragma once

#include "states/owner.h"

/* `state` is about to be attached with nothing attached: a new block begins, or its release block ends. */
void nesting_begin(struct owner *me, PyThreadState *state, enum block_by by);

/* `state`, which is attached (or just was, and the slot still stands as if), is detached and to be attached again. */
void nesting_begin_release(struct owner *me, PyThreadState *state);

/* `state` is about to be attached over a held GIL, under `beneath` (NULL: under no state). The new block; NULL without
 * memory. */
struct block *nesting_begin_over(struct owner *me, PyThreadState *state, PyThreadState *beneath, enum block_by by,
                                 const void *caller);

/* PyEval_SaveThread, or PyEval_ReleaseThread, of `current`, which is attached. Returns the block over a held GIL that ends
 * by it. NULL: it is to be detached really, and that is noted. */
const struct block *nesting_detach(struct owner *me, PyThreadState *current, bool is_release_thread,
                                   const void *caller);

/* PyThreadState_Swap from `current` to `state`, of which one may be NULL. */
void nesting_swap(struct owner *me, PyThreadState *current, PyThreadState *state);

/* Whether PyEval_SaveThread of `current`, whose count is this, or PyEval_ReleaseThread (`is_release_thread`), just opens a
 * release block, whoever calls it: nesting_detach would push that, and change nothing else. */
bool nesting_is_release(struct owner *me, const PyThreadState *current, int counter, bool is_release_thread);
