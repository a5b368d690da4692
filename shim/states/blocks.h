/* The blocks of GIL-API calls that are open on one OS thread, innermost last: which states they attached or detached, and
 * what is known about how each began. Ends need not come in order: a block is found by its state. Knows nothing of rules.
 *
 * A list belongs to one thread; nothing here takes a lock or calls into CPython. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/counter.h"
#include "cpython/cpython.h"
#include "system/list.h"

enum block_kind {
    BLOCK_ATTACH, /* its state was attached with nothing attached before */
    BLOCK_OVER,   /* its state was attached over a held GIL: what is beneath comes back at the end */
    BLOCK_SWAP,   /* its state was exchanged for the one beneath by PyThreadState_Swap, and will be again */
    BLOCK_DETACH, /* its state was detached, and is to be attached again; or a library keeps it alive by its counter */
};

/* How an attach is asked for. BY_LIBRARY: AcquireThread right after a library's key was asked, as pybind11 does it. */
enum block_by { BLOCK_BY_ACQUIRE, BLOCK_BY_RESTORE, BLOCK_BY_ENSURE, BLOCK_BY_LIBRARY };

struct block {
    enum block_kind kind;
    enum block_by by; /* not of a BLOCK_DETACH */
    PyThreadState *state;
    PyThreadState *beneath; /* OVER, SWAP: the one set aside; NULL: the GIL was held without any state */
    bool is_beneath_lost;   /* it died or moved meanwhile: nothing to come back to */
    bool is_foreign;  /* DETACH: it was attached unseen, and is not in the slot: restoring it must leave that alone */
    bool is_guest;    /* DETACH: other threads may attach it meanwhile */
    bool is_borrowed; /* DETACH: it ran here under a GIL that this thread had not taken, and will again (taken.h) */
    int counter;      /* ATTACH, OVER: its gilstate_counter when the block began */
    uintptr_t object; /* OVER by RestoreThread: the object that did it */
};

/* The innermost block; NULL if none is open. Valid until the list changes. */
struct block *blocks_top(const struct list *blocks);

/* Opens a block inside the others. NULL without memory. */
struct block *blocks_push(struct list *blocks, enum block_kind kind, PyThreadState *state);

/* A release block, as blocks_push would; false if that needs memory. */
static inline bool blocks_push_detach(struct list *blocks, PyThreadState *state, bool is_guest) {
    if (blocks->count == blocks->capacity) {
        return false;
    }
    ((struct block *)blocks->items)[blocks->count++] =
        (struct block){.kind = BLOCK_DETACH, .state = state, .is_guest = is_guest, .counter = COUNTER_UNKNOWN};
    return true;
}

/* Takes one out, wherever it is. */
void blocks_remove(struct list *blocks, const struct block *block);

/* The innermost block of `state`, of any kind or of one; the innermost release block of any state, or of any but guests.
 * NULL: none. */
struct block *blocks_last_of(const struct list *blocks, const PyThreadState *state);
struct block *blocks_find(const struct list *blocks, enum block_kind kind, const PyThreadState *state);
struct block *blocks_last_detached(const struct list *blocks);
struct block *blocks_last_own_detached(const struct list *blocks);

/* `state` has this count now. Who attaches it by Ensure or as pybind11 does counts it up meanwhile, so blocks over nothing
 * that began with that count or more are at their end, or it was not seen; they go, with the release blocks in them. */
void blocks_end_counted(struct list *blocks, const PyThreadState *state, int counter);

/* Whether none is over a held GIL and all are of `state`: then nothing depends on them. */
bool blocks_are_plain(const struct list *blocks, const PyThreadState *state);

/* Whether one is over a held GIL. */
bool blocks_have_over(const struct list *blocks);

/* `state` is gone: its blocks go, and those over it have nothing to come back to. */
void blocks_forget(struct list *blocks, const PyThreadState *state);

/* `state` belongs to another thread now: it is not to be attached again by itself. */
void blocks_lose(struct list *blocks, const PyThreadState *state);
