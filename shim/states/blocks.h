/* The blocks of GIL-API calls that are open on one OS thread, innermost last: which states they attached or detached,
 * and how each block began. Blocks need not end in order: a block is found by its state. Knows nothing of rules.
 *
 * A list belongs to one thread. Nothing here takes a lock or calls into CPython. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/counter.h"
#include "cpython/cpython.h"
#include "system/list.h"

enum block_kind {
    BLOCK_ATTACH, /* its state was attached with nothing attached before */
    BLOCK_OVER,   /* its state was attached over a held GIL: the state beneath comes back at the end */
    BLOCK_SWAP,   /* PyThreadState_Swap exchanged its state for the one beneath, and will exchange it back */
    BLOCK_DETACH, /* its state was detached and is to be attached again, or a library keeps it alive by its counter */
};

/* How the attach was made. BY_LIBRARY: by AcquireThread right after a library's key was asked, as pybind11 does. */
enum block_by { BLOCK_BY_ACQUIRE, BLOCK_BY_RESTORE, BLOCK_BY_ENSURE, BLOCK_BY_LIBRARY };

struct block {
    enum block_kind kind;
    enum block_by by; /* not used in a BLOCK_DETACH */
    PyThreadState *state;
    PyThreadState *beneath; /* OVER, SWAP: the state set aside; NULL: the GIL was held without a state */
    bool is_beneath_lost;   /* `beneath` died or moved since: there is nothing to come back to */
    bool is_foreign;        /* DETACH: attached unseen and not in the slot: restoring it must not touch the slot */
    bool is_guest;          /* DETACH: other threads may attach it while it is detached */
    bool is_borrowed;       /* DETACH: it ran and will run here under a GIL that the thread does not take (taken.h) */
    int counter;            /* ATTACH, OVER: gilstate_counter of `state` when the block began */
    uintptr_t object;       /* OVER by RestoreThread: the ELF object that called it */
};

/* Returns the innermost block, or NULL if none is open. The pointer is valid until the list changes. */
struct block *blocks_top(const struct list *blocks);

/* Opens a block inside the others. Returns NULL without memory. */
struct block *blocks_push(struct list *blocks, enum block_kind kind, PyThreadState *state);

/* Opens a BLOCK_DETACH like blocks_push, but returns false if that needs memory. */
static inline bool blocks_push_detach(struct list *blocks, PyThreadState *state, bool is_guest) {
    if (blocks->count == blocks->capacity) {
        return false;
    }
    ((struct block *)blocks->items)[blocks->count++] =
        (struct block){.kind = BLOCK_DETACH, .state = state, .is_guest = is_guest, .counter = COUNTER_UNKNOWN};
    return true;
}

/* Removes a block, wherever in the list it is. NULL: does nothing. */
void blocks_remove(struct list *blocks, const struct block *block);

/* Return the innermost block of `state` (blocks_last_of), the innermost block of `state` of one kind (blocks_find), the
 * innermost BLOCK_DETACH (blocks_last_detached), or the innermost BLOCK_DETACH whose state is no guest
 * (blocks_last_own_detached). NULL if there is none. */
struct block *blocks_last_of(const struct list *blocks, const PyThreadState *state);
struct block *blocks_find(const struct list *blocks, enum block_kind kind, const PyThreadState *state);
struct block *blocks_last_detached(const struct list *blocks);
struct block *blocks_last_own_detached(const struct list *blocks);

/* Ends blocks by the counter that `state` has now. A thread that attaches a state by Ensure, or as pybind11 does,
 * counts it up for as long. So a BLOCK_ATTACH of `state` that began with `counter` or more has ended, even if its end
 * was not seen. The first such block is removed, and with it the later BLOCK_ATTACHs and BLOCK_DETACHs of `state`.
 * COUNTER_UNKNOWN: does nothing. */
void blocks_end_counted(struct list *blocks, const PyThreadState *state, int counter);

/* Returns true if no block is over a held GIL and all are of `state`: then nothing depends on them. */
bool blocks_are_plain(const struct list *blocks, const PyThreadState *state);

/* Returns true if a block is over a held GIL. */
bool blocks_have_over(const struct list *blocks);

/* Called when `state` is gone: its blocks are removed, and blocks over it have nothing to come back to. */
void blocks_forget(struct list *blocks, const PyThreadState *state);

/* Called when `state` belongs to another thread now: its BLOCK_DETACHs are removed, so that this thread does not attach
 * it again on its own, and blocks over it have nothing to come back to. */
void blocks_lose(struct list *blocks, const PyThreadState *state);
