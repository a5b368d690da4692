#include "inspect/explain.h"

#include <stdlib.h>
#include <string.h>

#include "cpython/gil.h"
#include "cpython/real.h"
#include "diagnose/stall_report.h"
#include "inspect/choice.h"
#include "inspect/describe.h"
#include "inspect/entry.h"
#include "inspect/gil.h"
#include "inspect/pause.h"
#include "inspect/target.h"
#include "inspect/threads.h"
#include "journal/journal.h"
#include "process/options.h"
#include "system/ticks.h"

enum { WAITERS = 64, REST = 192 /* of whom one may be the partner of a deadlock */, THREADS_MAX = 4096 };

/* Returns the state that the thread is to attach, if there is only one that it can be, or 0. The states may be of more GILs than
 * are watched. */
static uintptr_t state_to_attach(pid_t tid, int64_t gil) {
    const struct watched_python *python = choice_python();
    const struct interpreter_picture *picture = &python->picture;
    uintptr_t found = 0;
    for (size_t i = 0; i < picture->state_count; i++) {
        const struct interpreter_state *state = &picture->states[i];
        size_t index = picture->interpreters[state->interpreter].gil;
        if (state->tid != tid || gil_id(picture, index) != gil || index >= python->gil_count ||
            state->address == python->gils[index].now.holder) {
            continue;
        }
        if (found) {
            return 0;
        }
        found = state->address;
    }
    return found;
}

/* With a journal the wait is known exactly, if it is in a call that the shim has seen. Returns false if not. */
static bool take_from_journal(struct waiter *waiter) {
    struct journal_thread thread;
    int index = journal_find(waiter->tid);
    if (index < 0 || !journal_read_thread((unsigned)index, &thread)) {
        return false;
    }
    memcpy(waiter->python_name, thread.python_name, sizeof waiter->python_name);
    if (thread.now.phase != JOURNAL_WAITS) {
        return false;
    }
    waiter->is_unseen = waiter->is_older = false;
    waiter->call = thread.now.call;
    waiter->caller = thread.now.caller;
    waiter->state = thread.now.state ? thread.now.state : (const void *)state_to_attach(waiter->tid, waiter->gil);
    waiter->since = ticks_to_ns(thread.now.since);
    return true;
}

/* Finds out how the thread came to wait, from its stack. */
static void complete(struct waiter *waiter) {
    static struct stack stack;
    struct thread_look look;
    if (take_from_journal(waiter)) {
        return;
    }
    waiter->is_timeless = target_source()->is_core;
    if (thread_look(waiter->tid, &look)) {
        stacks_take(&look, &stack);
        waiter->is_unseen = !entry_find(&stack, &choice_python()->cpython.object->elf, &waiter->call, &waiter->caller);
    }
    waiter->state = (const void *)state_to_attach(waiter->tid, waiter->gil);
}

static int compare(const void *one, const void *other) {
    const struct waiter *a = one, *b = other;
    return a->since < b->since ? -1 : a->since > b->since;
}

/* ---- a GIL that does not move ------------------------------------------------------------------------------------ */

/* Returns true if the holder only seems to keep the GIL. 2.7 does not count how often the GIL changes hands, and lets a
 * thread that runs Python code take it back at once, before those that it has woken. And on a machine that is too busy,
 * the holder may get no processor on which it could let go. */
static bool may_have_moved(const struct watched_gil *gil, const struct picture *picture) {
    enum { ENOUGH_NS = 20000000 /* several times the 5 ms after which Python code lets go */ };
    bool runs = picture->kind == PICTURE_PLAIN && picture->has_holder_look && picture->holding.look.call < 0 &&
                !picture->holding.look.is_hidden;
    bool has_starved = gil->holder == picture->holder.tid && gil->holder_used < ENOUGH_NS;
    return runs && (has_starved || (!gil->now.has_switches && !picture->holding.culprit));
}

/* Nobody can tell whose lock the holder sleeps in: it may be a barrier of threads that work, or a condition variable that is
 * signalled when a long call is done. A holder that ran meanwhile gets on. One that did not run for long is taken to be in a
 * deadlock. */
static void judge_inside(const struct watched_gil *gil, struct picture *picture) {
    enum { LONG_S = 10 };
    if (picture->kind != PICTURE_INSIDE) {
        return;
    }
    if (gil->holder == picture->holder.tid && gil->holder_used) {
        picture->kind = PICTURE_PLAIN;
        picture->partner = -1;
        return;
    }
    uint64_t watched = ticks_monotonic() - watch_begun(), still = threads_still_for(picture->holder.tid);
    picture->is_doubtful = watched < LONG_S * 1000000000ull && still < LONG_S * 1000000000ull;
}

/* The GILs that were explained as parts of another one's deadlock. */
static bool is_explained[INTERPRETER_CPYTHONS][WATCH_GILS];

static void note_parts(const struct watched_python *python, size_t number, const struct picture *picture) {
    for (size_t i = 0; i < picture->step_count; i++) {
        for (size_t gil = 0; gil < python->gil_count; gil++) {
            is_explained[number][gil] |= gil_id(&python->picture, gil) == picture->steps[i].gil;
        }
    }
}

/* Appends who waits for the other GILs: they may be in a circle with this one. Returns how many there are then. */
static size_t add_others(const struct watched_python *python, size_t gil, struct waiter *waiters, size_t count) {
    for (size_t other = 0; other < python->gil_count && count < WAITERS + REST; other++) {
        size_t waited;
        if (other != gil) {
            size_t room = WAITERS + REST - count;
            size_t added = watch_waiters(python, other, &waiters[count], room, &waited);
            count += added < room ? added : room;
        }
    }
    return count;
}

/* Without a journal, the thread's stack is all that tells who attached the state that it holds. */
static void guess_attacher(const struct watched_python *python, struct picture *picture) {
    const struct waiter *waiter = picture->partner >= 0 ? &picture->waiters[picture->partner] : NULL;
    const struct interpreter_state *state = interpreter_state_at(&python->picture, (uintptr_t)picture->holder.state);
    if (picture->kind == PICTURE_SELF && waiter && !waiter->is_unseen && state &&
        waiter->call == REAL_INDEX_PyGILState_Ensure) {
        picture->attacher =
            entry_find_attacher(&picture->holding.stack, &python->cpython.object->elf, state->has_frame);
    }
}

static bool explain_one(const struct watched_python *python, size_t number, size_t gil) {
    static struct waiter waiters[WAITERS + REST + PICTURE_EXTRA];
    static struct picture picture;
    size_t waited = 0;
    size_t total = watch_waiters(python, gil, waiters, WAITERS + REST, &waited);
    size_t known = total < WAITERS + REST ? total : WAITERS + REST;
    size_t kept = waited < WAITERS ? waited : WAITERS;
    if (!waited || python->gils[gil].has_moved || is_explained[number][gil]) {
        return false;
    }
    known = add_others(python, gil, waiters, known);
    choice_make(python, gil);
    for (size_t i = 0; i < known; i++) {
        complete(&waiters[i]);
    }
    qsort(waiters, kept, sizeof *waiters, compare);
    wait_graph_take(&picture, waiters, kept, waited, known - kept);
    if (may_have_moved(&python->gils[gil], &picture)) {
        return false;
    }
    judge_inside(&python->gils[gil], &picture);
    guess_attacher(python, &picture);
    note_parts(python, number, &picture);
    stall_report(&picture, target_now(), false);
    describe_stall(&picture);
    return true;
}

/* ---- free-threaded builds: a pause that does not begin, or does not end ------------------------------------------ */

/* Fills in a thread that has waited for the pause for as long as it was looked at. */
static void describe_waiter(struct waiter *waiter, uintptr_t state, pid_t tid) {
    memset(waiter, 0, sizeof *waiter);
    waiter->tid = tid;
    waiter->is_unseen = waiter->is_older = true;
    waiter->is_timeless = target_source()->is_core;
    waiter->since = watch_begun();
    waiter->gil = GIL_PAUSE;
    waiter->call = JOURNAL_NO_CALL;
    waiter->state = (const void *)state;
    thread_read_name(tid, waiter->name);
}

static bool has_state(const struct interpreter_picture *picture, pid_t tid) {
    size_t i = 0;
    while (i < picture->state_count && picture->states[i].tid != tid) {
        i++;
    }
    return i < picture->state_count;
}

/* Fills in a thread that sleeps in a call of CPython's, as its stack or its journal says, but not for a GIL. Which call it is may not be
 * seen, where the function that was called has jumped on to another one (PyThreadState_New): a thread without a state can only
 * be making one. */
static bool is_waiting_in_call(const struct watched_python *python, uintptr_t state, pid_t tid, struct waiter *waiter) {
    static struct stack stack;
    struct thread_look look;
    if (!tid || !thread_look(tid, &look) || !thread_is_in_futex(&look) || watch_is_waiter(tid)) {
        return false;
    }
    describe_waiter(waiter, state, tid);
    stacks_take(&look, &stack);
    const struct elf_object *elf = &python->cpython.object->elf;
    bool is_seen = take_from_journal(waiter) || entry_find(&stack, elf, &waiter->call, &waiter->caller);
    waiter->is_unseen = !is_seen;
    waiter->is_timeless |= waiter->since > target_now();
    return is_seen || (!state && !has_state(&python->picture, tid) && entry_is_inside(&stack, elf));
}

static bool is_among(const struct waiter *waiters, size_t count, pid_t tid) {
    size_t i = 0;
    while (i < count && waiters[i].tid != tid) {
        i++;
    }
    return i < count;
}

/* Finds the threads that wait for the pause: first the one that has asked for it, then those that are in a call that attaches a
 * suspended state. Others have one, too, but only those wait whose stacks or journals say so. One that is making its first state
 * asks without one. */
static size_t find_waiters_of_pause(const struct watched_python *python, const struct pause_seen *seen,
                                    struct waiter *waiters, size_t capacity) {
    static pid_t tids[THREADS_MAX];
    const struct interpreter_picture *picture = &python->picture;
    const struct interpreter_state *asks = interpreter_state_at(picture, seen->requester);
    size_t count = 0;
    if (asks && !seen->has_begun && interpreter_thread_of(asks)) {
        describe_waiter(&waiters[count++], asks->address, interpreter_thread_of(asks));
    }
    for (size_t i = 0; i < picture->state_count && count < capacity; i++) {
        const struct interpreter_state *state = &picture->states[i];
        count += state->attachment == STATE_SUSPENDED &&
                 is_waiting_in_call(python, state->address, state->tid, &waiters[count]);
    }
    size_t threads = seen->requester ? 0 : target_threads(tids, THREADS_MAX);
    for (size_t i = 0; i < threads && i < THREADS_MAX && count < capacity; i++) {
        count += !is_among(waiters, count, tids[i]) && is_waiting_in_call(python, 0, tids[i], &waiters[count]);
    }
    return count;
}

static bool explain_pause(const struct watched_python *python) {
    static struct waiter waiters[WAITERS + PICTURE_EXTRA];
    static struct picture picture;
    struct pause_seen seen;
    if (!pause_lasts(python, &seen)) {
        return false;
    }
    choice_make(python, 0);
    size_t count = find_waiters_of_pause(python, &seen, waiters, WAITERS);
    if (!count) {
        return false;
    }
    wait_graph_take(&picture, waiters, count, count, 0);
    stall_report(&picture, target_now(), false);
    describe_stall(&picture);
    return true;
}

/* Nobody waits for it all the time, and yet it did not move: where its holder is may be what is sought. */
static void tell_only_holder(const struct watched_python *python, size_t gil) {
    static struct waiter none[PICTURE_EXTRA];
    static struct picture picture;
    if (python->gils[gil].now.lock == GIL_HELD && !python->gils[gil].has_moved && options.log_format == LOG_TEXT) {
        choice_make(python, gil);
        wait_graph_take(&picture, none, 0, 0, 0);
        stall_report_holder(&picture, target_now());
    }
}

/* Returns true if a report was about one of its GILs. */
static bool explain_each_gil(const struct watched_python *python, size_t number) {
    bool has_stall = false;
    for (size_t gil = 0; python->has_picture && gil < python->gil_count; gil++) {
        has_stall |= explain_one(python, number, gil);
    }
    return has_stall;
}

bool explain(struct watched_python *pythons, size_t count) {
    bool has_stall = describe_stop();
    uint64_t told = 0; /* bit N: reports have named pythons[N] */
    memset(is_explained, 0, sizeof is_explained);
    for (size_t i = 0; i < count; i++) {
        if (explain_each_gil(&pythons[i], i)) {
            has_stall = true;
            told |= 1ull << i;
        }
        has_stall |= explain_pause(&pythons[i]);
    }
    if (has_stall && count > 1 && options.log_format == LOG_TEXT) {
        for (size_t i = 0; i < count; i++) {
            if (!(told & 1ull << i)) {
                describe_interpreter(&pythons[i]);
            }
        }
        describe_several();
    }
    for (size_t i = 0; !has_stall && i < count; i++) {
        describe_nothing(&pythons[i]);
        for (size_t gil = 0; pythons[i].has_picture && gil < pythons[i].gil_count; gil++) {
            tell_only_holder(&pythons[i], gil);
        }
    }
    return has_stall;
}
