/* Who holds the GIL that is being explained, from the target's memory. */
#include "diagnose/holder.h"

#include <string.h>

#include "inspect/choice.h"

/* Up to 3.11 PyThreadState_Swap(NULL) takes the state off and keeps the GIL. The thread that took it last has it. */
static void find_without_state(const struct interpreter_picture *picture, const struct interpreter_gil *gil,
                               struct holder *holder) {
    const struct interpreter_state *last = gil->last_holder ? interpreter_state_at(picture, gil->last_holder) : NULL;
    bool is_known = gil->lock == GIL_HELD && last && last->tid;
    holder->kind = is_known ? HOLDER_THREAD : gil->lock == GIL_UNKNOWN ? HOLDER_UNSEEN : HOLDER_NONE;
    holder->tid = is_known ? last->tid : 0;
}

void holder_find(pid_t waiter, bool may_copy, struct holder *holder) {
    (void)waiter;
    (void)may_copy;
    const struct interpreter_picture *picture = &choice_python()->picture;
    const struct interpreter_gil *gil = &choice_gil()->now;
    memset(holder, 0, sizeof *holder);
    if (!gil->holder) {
        find_without_state(picture, gil, holder);
        return;
    }
    const struct interpreter_state *state = interpreter_state_at(picture, gil->holder);
    holder->state = (PyThreadState *)gil->holder;
    holder->tid = state ? state->tid : 0;
    holder->kind = holder->tid ? HOLDER_THREAD : HOLDER_UNKNOWN;
}
