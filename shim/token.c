#include "counter.h"
#include "nesting.h"
#include "reconcile.h"
#include "slot.h"

struct token_view reconcile_before_token(void) {
    struct owner *me = owner_enter();
    struct token_view before = {.attached = me ? owner_attached(me) : NULL, .in_slot = slot_get()};
    owner_leave(me);
    return before;
}

void reconcile_token_began(struct token_view before) {
    PyThreadState *in_slot = slot_get();
    if (!before.in_slot && in_slot) {
        owner_state_appeared(in_slot);
    }
    struct owner *me = owner_enter();
    PyThreadState *state = me ? owner_attached(me) : NULL;
    if (!state || state == before.attached) {
        owner_leave(me);
        return; /* it only counts */
    }
    struct block *block = before.attached ? NULL : blocks_push(&me->blocks, BLOCK_ATTACH, state);
    if (block) {
        block->by = BLOCK_BY_ENSURE;
        block->counter = COUNTER_UNKNOWN; /* its count is another one than gilstate_counter */
    }
    if (before.attached) {
        nesting_swap(me, before.attached, state);
    }
    me->attached = state;
    owner_leave(me);
}

void reconcile_token_ended(struct token_view before) {
    if (before.in_slot && before.in_slot == before.attached && !slot_get()) {
        reconcile_state_ended(before.attached); /* was made for the block */
        return;
    }
    struct owner *me = owner_enter();
    PyThreadState *state = me ? owner_attached(me) : NULL;
    if (!me || !before.attached || state == before.attached) {
        owner_leave(me);
        return;
    }
    if (state) {
        nesting_swap(me, before.attached, state);
    }
    const struct block *block = state ? NULL : blocks_last_of(&me->blocks, before.attached);
    if (block && block->kind == BLOCK_ATTACH && block->by == BLOCK_BY_ENSURE) {
        blocks_remove(&me->blocks, block);
    }
    me->attached = state;
    owner_leave(me);
}
