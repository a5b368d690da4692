#include "cpython/counter.h"
#include "cpython/slot.h"
#include "rules/nesting.h"
#include "rules/reconcile.h"
#include "rules/settle.h"

/* The thread's record is not left before the real call, which might make the thread plain: the state's release block
 * would then be taken for one that a PyGILState_Ensure, which counts in the state, has ended for a while. */
struct token_view reconcile_before_token(void) {
    struct owner *me = owner_enter();
    PyThreadState *attached = me ? owner_attached(me) : NULL;
    int counter = attached ? counter_read(attached) : COUNTER_UNKNOWN;
    return (struct token_view){.attached = attached, .in_slot = slot_get(), .counter = counter};
}

void reconcile_token_began(struct token_view before) {
    PyThreadState *in_slot = slot_get();
    bool is_new = in_slot && in_slot != before.in_slot; /* CPython takes the slot's state, or makes one */
    if (is_new) {
        owner_state_appeared(in_slot);
    }
    struct owner *me = owner_enter();
    PyThreadState *state = me ? owner_attached(me) : NULL;
    if (!state || state == before.attached) {
        owner_leave(me);
        return; /* it only counts */
    }
    if (is_new) {
        blocks_forget(&me->blocks, state); /* of an earlier state at the same address */
    }
    struct block *block = before.attached ? NULL : blocks_push(&me->blocks, BLOCK_ATTACH, state);
    if (block) {
        block->by = BLOCK_BY_ENSURE;
        block->counter = COUNTER_UNKNOWN; /* its count is not gilstate_counter */
    }
    if (before.attached) {
        nesting_swap(me, before.attached, state);
    }
    me->attached = state;
    owner_leave(me);
}

/* Notes that `state`, which was attached, is saved away again. If others count in it, it stays the state to come back
 * to, although the slot will cease to name it when another state is attached (as in reconcile_release). */
static void note_detached(struct owner *me, PyThreadState *state, int counter) {
    const struct block *block = blocks_last_of(&me->blocks, state);
    if (block && block->kind == BLOCK_ATTACH && block->by == BLOCK_BY_ENSURE) {
        blocks_remove(&me->blocks, block);
    }
    if (counter > 1 && !blocks_last_of(&me->blocks, state) && !owner_last_saved(me)) {
        nesting_begin_release(me, state);
    }
    settle_detach(me, state);
}

void reconcile_token_ended(struct token_view before) {
    struct owner *me = owner_enter();
    PyThreadState *state = before.attached;
    PyThreadState *now = me ? owner_attached(me) : NULL;
    if (!me || !state || now == state) {
        owner_leave(me);
        return; /* it only counts */
    }
    /* PyThreadState_Release goes back to another state only from one that PyThreadState_Ensure has made. */
    bool is_freed = now || (before.in_slot == state && !slot_get());
    if (is_freed) {
        reconcile_state_ended(state);
        me = owner_enter();
    } else {
        note_detached(me, state, before.counter);
    }
    if (me) {
        me->attached = now;
    }
    owner_leave(me);
}
