/* Who holds the GIL that is being explained, from the target's memory. */
#include "diagnose/holder.h"

#include <string.h>

#include "cpython/gil.h"
#include "diagnose/stacks.h"
#include "inspect/choice.h"
#include "inspect/gil.h"
#include "inspect/running_thread.h"
#include "inspect/target.h"
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
        if (journal_read_thread(i, &thread) && !thread.has_ended && journal_has_attached(&thread.now, state) &&
            (!tid || thread.now.since > since)) {
            since = thread.now.since;
            tid = thread.tid;
        }
    }
    return tid;
}

/* Up to 3.11 nothing says which thread has a state attached: the one that made it, most likely. A program may make states for other
 * threads, though. If the one that made it waits for the GIL, and the state is in Python code while the thread is not, it is
 * another thread that has it. Returns true then. */
static bool is_somebody_elses(const struct interpreter_state *state) {
    static struct stack stack;
    const struct interpreter_cpython *cpython = &choice_python()->cpython;
    struct thread_look look;
    uintptr_t loop;
    if ((cpython->major == 3 && cpython->minor > 11) || !state->has_frame || !watch_is_waiter(state->tid) ||
        (!target_symbol(cpython->object, "_PyEval_EvalFrameDefault", &loop, NULL) &&
         !target_symbol(cpython->object, "PyEval_EvalFrameEx", &loop, NULL)) ||
        !thread_look(state->tid, &look)) {
        return false;
    }
    stacks_take(&look, &stack);
    for (size_t i = 0; i < stack.count; i++) {
        if ((uintptr_t)stacks_function_of((void *)stack.frames[i]) == loop) {
            return false;
        }
    }
    return stack.sure > 0;
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

/* Without a GIL: who keeps the pause from beginning, or has asked for it. */
static void find_of_pause(struct holder *holder) {
    const struct interpreter_state *state;
    gil_read_holder(GIL_PAUSE, &holder->state);
    holder->tid = holder->state ? attacher_of(holder->state) : 0;
    state = interpreter_state_at(&choice_python()->picture, (uintptr_t)holder->state);
    if (!holder->tid && state) {
        pid_t running = running_thread_find(&choice_python()->cpython, state);
        holder->tid = running ? running : interpreter_thread_of(state);
    }
    holder->kind = holder->tid ? HOLDER_THREAD : holder->state ? HOLDER_UNKNOWN : HOLDER_NONE;
}

void holder_find(pid_t waiter, bool may_copy, int64_t gil, struct holder *holder) {
    (void)waiter;
    (void)may_copy;
    if (gil == GIL_PAUSE) {
        memset(holder, 0, sizeof *holder);
        find_of_pause(holder);
        return;
    }
    const struct interpreter_picture *picture = &choice_python()->picture;
    const struct interpreter_gil *chosen = find_gil(gil);
    memset(holder, 0, sizeof *holder);
    holder->state = (PyThreadState *)chosen->holder;
    holder->tid = chosen->lock == GIL_HELD ? attacher_of(holder->state) : 0;
    if (!chosen->holder && !holder->tid) {
        find_without_state(picture, chosen, holder);
        return;
    }
    const struct interpreter_state *state = interpreter_state_at(picture, chosen->holder);
    if (!holder->tid && state) {
        holder->tid = running_thread_find(&choice_python()->cpython, state);
    }
    if (!holder->tid && state && !watch_is_waiter(state->tid)) {
        holder->tid = running_thread_waiting_with(&choice_python()->cpython, state);
    }
    if (!holder->tid && state && !is_somebody_elses(state)) {
        holder->tid = interpreter_thread_of(state);
    }
    holder->kind = holder->tid ? HOLDER_THREAD : HOLDER_UNKNOWN;
}
