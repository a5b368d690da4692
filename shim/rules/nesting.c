#include "rules/nesting.h"

#include "cpython/counter.h"
#include "rules/reconcile.h"
#include "system/loader.h"

/* Returns BLOCK_BY_LIBRARY if a library makes this AcquireThread, or else `by`. pybind11's acquire has just asked its
 * key, or has made a state and filed it. A hand-made AcquireThread is preceded by neither. */
static enum block_by by_library(struct owner *me, PyThreadState *state, enum block_by by) {
    bool is_library =
        by == BLOCK_BY_ACQUIRE &&
        (owner_was_just_told(me, state) || (owner_files(me, state) && !blocks_find(&me->blocks, BLOCK_DETACH, state)));
    return is_library ? BLOCK_BY_LIBRARY : by;
}

/* `state` is attached again, which ends the release block that it was detached in. A release block with an acquire
 * block of the same state in it does not end: the state was detached unseen, or by Py_NewInterpreter. */
static void end_release_block(struct list *blocks, const PyThreadState *state) {
    const struct block *last = blocks_last_of(blocks, state);
    if (last && last->kind == BLOCK_DETACH) {
        blocks_remove(blocks, last);
    }
}

void nesting_begin_release(struct owner *me, PyThreadState *state) {
    bool is_guest = owner_is_guest(me, state);
    struct block *block = blocks_push(&me->blocks, BLOCK_DETACH, state);
    if (block) {
        block->is_guest = is_guest;
    }
}

void nesting_begin(struct owner *me, PyThreadState *state, enum block_by by) {
    by = by_library(me, state, by);
    int counter = counter_read(state);
    blocks_end_counted(&me->blocks, state, counter);
    if (by == BLOCK_BY_ACQUIRE || by == BLOCK_BY_RESTORE) {
        end_release_block(&me->blocks, state); /* otherwise a hand-made block begins, of which nothing need be known */
        return;
    }
    struct block *block = blocks_push(&me->blocks, BLOCK_ATTACH, state);
    if (block) {
        block->by = by;
        block->counter = counter;
    }
}

struct block *nesting_begin_over(struct owner *me, PyThreadState *state, PyThreadState *beneath, enum block_by by,
                                 const void *caller) {
    by = state == beneath ? by : by_library(me, state, by); /* pybind11 never attaches an attached state */
    struct block *block = blocks_push(&me->blocks, BLOCK_OVER, state);
    if (block) {
        block->by = by;
        block->beneath = beneath;
        block->counter = counter_read(state);
        block->object = by == BLOCK_BY_RESTORE ? loader_object_of(caller) : 0;
    }
    return block;
}

/* Returns true if the state was counted up since the block began: by pybind11, for the time of the block, or by an
 * Ensure that is still open. */
static bool is_counted_up(const struct block *block, int counter) {
    return counter != COUNTER_UNKNOWN && block->counter != COUNTER_UNKNOWN && counter > block->counter;
}

/* Returns true if the detach ends `over`. If a release block were taken for an end, the GIL would stay held in it. If
 * an end were taken for a release block, the thread would go back into the lower block without the GIL. */
static bool is_end_of(const struct block *over, int counter, bool is_release_thread, const void *caller) {
    if (is_counted_up(over, counter)) {
        return false;
    }
    switch (over->by) {
    case BLOCK_BY_ENSURE: return false; /* PyGILState_Release ends it */
    case BLOCK_BY_LIBRARY: return true;
    case BLOCK_BY_ACQUIRE: return is_release_thread; /* DeleteCurrent ends it, too, but SaveThread does not */
    case BLOCK_BY_RESTORE:                           /* a SaveThread of the object that attached it ends it */
        return is_release_thread || over->object == loader_object_of(caller);
    }
    return false;
}

const struct block *nesting_detach(struct owner *me, PyThreadState *current, bool is_release_thread,
                                   const void *caller) {
    struct list *blocks = &me->blocks;
    int counter = counter_read(current);
    const struct block *top = blocks_top(blocks);
    if (top && top->state == current && top->kind == BLOCK_OVER && is_end_of(top, counter, is_release_thread, caller)) {
        return top;
    }
    bool is_end = top && top->state == current && top->kind == BLOCK_ATTACH && top->by == BLOCK_BY_LIBRARY &&
                  !is_counted_up(top, counter);
    if (is_end) {
        blocks_remove(blocks, top);
    }
    blocks_end_counted(blocks, current, counter);
    if (is_end) {
        return NULL;
    }
    end_release_block(blocks, current); /* if the state was attached again unseen */
    nesting_begin_release(me, current);
    return NULL;
}

bool nesting_is_release(struct owner *me, const PyThreadState *current, int counter, bool is_release_thread) {
    const struct block *blocks = me->blocks.items;
    bool is_last = true;
    for (uint32_t i = me->blocks.count; i-- > 0;) {
        const struct block *block = &blocks[i];
        if (block->state != current) {
            continue;
        }
        if (block->kind == BLOCK_ATTACH && block->counter >= counter) {
            return false; /* at its end */
        }
        if (is_last && block->kind == BLOCK_DETACH) {
            return false; /* attached again unseen */
        }
        is_last = false;
    }
    const struct block *top = blocks_top(&me->blocks);
    if (!top || top->state != current || is_counted_up(top, counter)) {
        return true;
    }
    if (top->kind == BLOCK_OVER) {
        return top->by == BLOCK_BY_ENSURE || (top->by == BLOCK_BY_ACQUIRE && !is_release_thread);
    }
    return top->kind != BLOCK_ATTACH || top->by != BLOCK_BY_LIBRARY;
}

void nesting_swap(struct owner *me, PyThreadState *current, PyThreadState *state) {
    struct list *blocks = &me->blocks;
    if (!current || !state) {
        if (state) {
            end_release_block(blocks, state);
        } else if (current) {
            nesting_begin_release(me, current);
        }
        return;
    }
    /* The Swap goes back to a state beneath, perhaps out of several blocks at once. */
    for (uint32_t i = blocks->count; i-- > 0;) {
        const struct block *block = (struct block *)blocks->items + i;
        if (block->kind != BLOCK_SWAP && block->kind != BLOCK_OVER) {
            break;
        }
        if (block->beneath == state) {
            blocks->count = i;
            return;
        }
    }
    /* Only blocks over a held GIL depend on this block: the calls that follow are not theirs. */
    struct block *swap = blocks_have_over(blocks) ? blocks_push(blocks, BLOCK_SWAP, state) : NULL;
    if (swap) {
        swap->beneath = current;
    }
}
