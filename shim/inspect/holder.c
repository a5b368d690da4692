/* Who holds the GIL that is being explained, from the target's memory. */
#include "diagnose/holder.h"

#include <string.h>

#include "cpython/gil.h"
#include "inspect/choice.h"
#include "inspect/gil.h"
#include "journal/journal.h"

/* Up to 3.11 PyThreadState_Swap(NULL) takes the state off and keeps the GIL. The thread that took it last has it. */
static void find_without_state(const struct interpreter_picture *picture, const struct interpreter_gil *gil,
                               struct holder *holder) {
    const struct interpreter_state *last = gil->last_holder ? interpreter_state_at(picture, gil->last_holder) : NULL;
    bool is_known = gil->lock == GIL_HELD && last && interpreter_thread_of(last);
    holder->kind = is_known ? HOLDER_THREAD : gil->lock == GIL_UNKNOWN ? HOLDER_UNSEEN : HOLDER_NONE;
    holder->tid = is_known ? interpreter_thread_of(last) : 0;
}

/* Returns the thread whose journal says that it has this state attached (NULL: that it holds the GIL without a state), or
 * 0. It may be another one than the thread that has made the state. */
static pid_t attacher_of(const PyThreadState *state) {
    struct journal_thread thread;
    uint64_t since = 0;
    pid_t tid = 0;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (journal_read_thread(i, &thread) && !thread.has_ended && thread.now.phase == JOURNAL_HOLDS &&
            thread.now.state == state && (!tid || thread.now.since > since)) {
            since = thread.now.since;
            tid = thread.tid;
        }
    }
    return tid;
}

/* GIL_NOT_TOLD: the one that was chosen. */
static const struct interpreter_gil *find_gil(int64_t id) {
    const struct watched_python *python = choice_python();
    for (size_t i = 0; id != GIL_NOT_TOLD && i < python->gil_count; i++) {
        if (gil_id(&python->picture, i) == id) {
            return &python->gils[i].now;
        }
    }
    return &choice_gil()->now;
}

void holder_find(pid_t waiter, bool may_copy, int64_t id, struct holder *holder) {
    (void)waiter;
    (void)may_copy;
    const struct interpreter_picture *picture = &choice_python()->picture;
    const struct interpreter_gil *gil = find_gil(id);
    memset(holder, 0, sizeof *holder);
    holder->state = (PyThreadState *)gil->holder;
    holder->tid = gil->lock == GIL_HELD ? attacher_of(holder->state) : 0;
    if (!gil->holder && !holder->tid) {
        find_without_state(picture, gil, holder);
        return;
    }
    const struct interpreter_state *state = interpreter_state_at(picture, gil->holder);
    holder->tid = holder->tid ? holder->tid : state ? interpreter_thread_of(state) : 0;
    holder->kind = holder->tid ? HOLDER_THREAD : HOLDER_UNKNOWN;
}
