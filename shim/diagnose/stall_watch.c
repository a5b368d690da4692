#include "diagnose/stall_watch.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/pauses.h"
#include "cpython/real.h"
#include "diagnose/holder.h"
#include "system/ticks.h"

/* ---- seen waits ------------------------------------------------------------------------------------------------- */

static void insert(struct waiter *waiters, size_t capacity, size_t *count, const struct waiter *waiter) {
    size_t at = *count < capacity ? *count : capacity;
    ++*count;
    while (at > 0 && waiters[at - 1].since > waiter->since) {
        at--;
    }
    if (at < capacity) {
        size_t last = *count < capacity ? *count - 1 : capacity - 1;
        memmove(&waiters[at + 1], &waiters[at], (last - at) * sizeof *waiters);
        waiters[at] = *waiter;
    }
}

/* Returns the GIL of the state that the thread is to attach. If that is not known, it is the one that the thread is seen waiting
 * for, since such a wait is interrupted every few milliseconds; PyGILState_Ensure makes states of the main interpreter. */
static int64_t gil_of_waiter(const struct journal_thread *thread) {
    struct thread_look look;
    int64_t gil = gil_of_state(thread->now.state);
    for (int i = 0; i < 3 && gil == GIL_NOT_TOLD && gil_are_several() && thread_look_at_call(thread->tid, &look); i++) {
        gil = gil_of_wait(&look);
    }
    return gil == GIL_NOT_TOLD && gil_are_several() && thread->now.call == REAL_INDEX_PyGILState_Ensure ? 0 : gil;
}

static void describe(struct waiter *waiter, const struct journal_thread *thread) {
    memset(waiter, 0, sizeof *waiter);
    waiter->tid = thread->tid;
    waiter->call = thread->now.call;
    waiter->caller = thread->now.caller;
    waiter->state = thread->now.state;
    waiter->since = ticks_to_ns(thread->now.since);
    memcpy(waiter->python_name, thread->python_name, sizeof waiter->python_name);
    memcpy(waiter->name, thread->name, sizeof waiter->name);
    waiter->gil = gil_of_waiter(thread);
}

static void look_at_journal(struct waiter *waiters, size_t capacity, size_t *count, uint64_t limit, uint64_t now) {
    unsigned threads = journal_count();
    for (unsigned i = 0; i < threads; i++) {
        struct journal_thread thread;
        struct waiter waiter;
        if (journal_read_thread(i, &thread) && !thread.has_ended && thread.now.phase == JOURNAL_WAITS) {
            describe(&waiter, &thread);
            if (now >= waiter.since + limit && thread_exists(thread.tid)) {
                insert(waiters, capacity, count, &waiter);
            }
        }
    }
}

/* ---- pauses ----------------------------------------------------------------------------------------------------- */

/* Without a GIL: the thread that has asked for a pause waits until each other thread has paused, with its state attached and
 * unseen by the journal. Which threads they are is read anew at each look. */
static void look_at_pause(struct waiter *waiters, size_t capacity, size_t *count, uint64_t limit, uint64_t now) {
    static struct pause last;
    static uint64_t since;
    struct pause pause;
    if (!gil_is_off() || !pauses_look(&pause) || pause.has_begun || !pause.requester || !pause.delayer) {
        last.requester = NULL;
        return;
    }
    if (pause.requester != last.requester || pause.delayer != last.delayer) {
        last = pause;
        since = now;
    }
    pid_t tid = now >= since + limit ? holder_thread_of(pause.requester) : 0;
    struct thread_look look;
    struct journal_thread thread;
    struct waiter waiter;
    int index = tid ? journal_find(tid) : -1;
    memset(&thread, 0, sizeof thread);
    if (!tid || !thread_look(tid, &look)) {
        return;
    }
    if (index < 0 || !journal_read_thread((unsigned)index, &thread)) {
        memcpy(thread.name, look.name, sizeof thread.name);
    }
    thread.tid = tid;
    thread.now = (struct journal_now){.call = JOURNAL_NO_CALL, .state = pause.requester};
    describe(&waiter, &thread);
    waiter.is_unseen = true;
    waiter.since = since;
    insert(waiters, capacity, count, &waiter);
}

static bool asks_still(const struct waiter *waiter) {
    struct pause pause;
    return pauses_look(&pause) && !pause.has_begun && pause.requester == waiter->state;
}

/* ---- unseen waits ----------------------------------------------------------------------------------------------- */

enum { THREADS_MAX = 16384, SUSPECTS_MAX = 512, LOOKS_AT_LEAST = 4, REST_MAX = 256 };

/* A thread that was found waiting in CPython's own loop at the last look, and at earlier ones. */
static struct suspect {
    pid_t tid;
    unsigned looks;
    unsigned round;
    bool is_exact; /* `moves` are counted */
    uint64_t since;
    uint64_t looked_at; /* when it was last found so, with this CPU time and this stack pointer */
    uint64_t cpu_time;  /* !is_exact */
    uintptr_t stack;
    int64_t gil;
    uint64_t moves; /* of this GIL, at that look */
} suspects[SUSPECTS_MAX];
static size_t suspect_count;

static struct suspect *find_suspect(pid_t tid) {
    for (size_t i = 0; i < suspect_count; i++) {
        if (suspects[i].tid == tid) {
            return &suspects[i];
        }
    }
    return NULL;
}

/* Returns a number that changes when the GIL goes from one thread to another: how often it has (`*is_exact`), or, where that can't be
 * read (3.6), the state that is attached. */
static uint64_t moves_of(int64_t gil, bool *is_exact) {
    uint64_t switches;
    *is_exact = gil_read_switches(gil, &switches);
    return *is_exact || interp_slot_follows ? switches : (uintptr_t)interp_current();
}

/* Returns true if the thread may have had the GIL since the last look. If the GIL has gone from one thread to another meanwhile,
 * it can't be told whether this was one of them: with a hundred threads that compute, each has it twice a second, which
 * is no stall. Or it waits elsewhere in the program now. Where the moves are not counted, it may have used CPU time: waking
 * up every 5 ms to ask for the GIL takes 2 to 9 ms of it in a second, on a loaded machine (sys.setswitchinterval
 * makes that more); who has the GIL uses 5 ms at a time. */
static bool has_worked(const struct suspect *suspect, const struct suspect *now) {
    if (now->moves != suspect->moves || (suspect->stack && now->stack != suspect->stack)) {
        return true;
    }
    return !now->is_exact && now->cpu_time > suspect->cpu_time + 2500000 + (now->looked_at - suspect->looked_at) / 100;
}

static void suspect_thread(pid_t tid, unsigned round, uint64_t now) {
    struct thread_look look;
    struct suspect *suspect = find_suspect(tid);
    if (!thread_look_at_call(tid, &look) || !(wait_graph_waits_in_python(&look) || (suspect && look.call < 0))) {
        return; /* not carried over to this round, so forgotten */
    }
    bool is_asleep = look.call >= 0;
    struct suspect found = {.tid = tid, .round = round, .since = now, .looked_at = now};
    found.gil = is_asleep || !suspect ? gil_of_wait(&look) : suspect->gil;
    found.stack = is_asleep || !suspect ? look.stack : suspect->stack;
    found.moves = moves_of(found.gil, &found.is_exact);
    found.cpu_time = found.is_exact ? 0 : thread_cpu_time(tid); /* a system call that is not needed then */
    if (suspect && suspect->gil == found.gil && !has_worked(suspect, &found)) {
        found.since = suspect->since;
        found.looks = suspect->looks;
    } else if (!suspect && suspect_count < SUSPECTS_MAX) {
        suspect = &suspects[suspect_count++];
    }
    if (suspect) {
        found.looks += is_asleep;
        *suspect = found;
    }
}

static bool waits_seen(pid_t tid) {
    struct journal_thread thread;
    int index = journal_find(tid);
    return index >= 0 && journal_read_thread((unsigned)index, &thread) && thread.now.phase == JOURNAL_WAITS;
}

/* Takes at most a hundredth of the time. This is measured in CPU time: on a busy machine the clock advances while the
 * watch thread does not run. */
static void look_at_threads(uint64_t now) {
    static uint64_t next;
    static unsigned round;
    static pid_t tids[THREADS_MAX];
    pid_t me = (pid_t)syscall(SYS_gettid);
    if (now < next) {
        return;
    }
    uint64_t begun = thread_cpu_time(me);
    round++;
    size_t count = thread_list(tids, THREADS_MAX);
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        if (tids[i] != me && !waits_seen(tids[i])) {
            suspect_thread(tids[i], round, now);
        }
    }
    for (size_t i = suspect_count; i-- > 0;) {
        if (suspects[i].round != round) {
            suspects[i] = suspects[--suspect_count];
        }
    }
    next = now + 100 * (thread_cpu_time(me) - begun);
}

static void add_suspects(struct waiter *waiters, size_t capacity, size_t *count, uint64_t limit, unsigned looks,
                         uint64_t now) {
    for (size_t i = 0; i < suspect_count; i++) {
        const struct suspect *suspect = &suspects[i];
        if (suspect->looks < looks || now < suspect->since + limit) {
            continue;
        }
        struct journal_thread thread;
        struct waiter waiter;
        int index = journal_find(suspect->tid);
        memset(&thread, 0, sizeof thread);
        if (index < 0 || !journal_read_thread((unsigned)index, &thread)) {
            struct thread_look look;
            thread.tid = suspect->tid;
            if (thread_look(suspect->tid, &look)) {
                memcpy(thread.name, look.name, sizeof thread.name);
            }
        }
        describe(&waiter, &thread);
        waiter.is_unseen = true;
        waiter.caller = waiter.state = NULL;
        waiter.since = suspect->since;
        waiter.gil = suspect->gil;
        waiter.moves = suspect->moves;
        insert(waiters, capacity, count, &waiter);
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

size_t stall_watch_look(struct waiter *waiters, size_t capacity, uint64_t limit, uint64_t now) {
    size_t count = 0;
    gil_look();
    look_at_journal(waiters, capacity, &count, limit, now);
    if (gil_is_off()) {
        suspect_count = 0;
        look_at_pause(waiters, capacity, &count, limit, now);
        return count;
    }
    look_at_threads(now);
    add_suspects(waiters, capacity, &count, limit, LOOKS_AT_LEAST, now);
    return count;
}

size_t stall_watch_rest(struct waiter *waiters, size_t count, size_t capacity, uint64_t now) {
    static struct waiter all[REST_MAX];
    size_t found = 0, added = 0;
    look_at_journal(all, REST_MAX, &found, 0, now);
    look_at_pause(all, REST_MAX, &found, 0, now);
    add_suspects(all, REST_MAX, &found, 0, 1, now);
    for (size_t i = 0; i < found && i < REST_MAX && count + added < capacity; i++) {
        size_t known = 0;
        while (known < count && waiters[known].tid != all[i].tid) {
            known++;
        }
        if (known == count) {
            waiters[count + added++] = all[i];
        }
    }
    return added;
}

bool stall_watch_waits_still(const struct waiter *waiter) {
    struct journal_thread thread;
    int index = journal_find(waiter->tid);
    if (waiter->is_unseen && waiter->gil == GIL_PAUSE) {
        return asks_still(waiter);
    }
    if (waiter->is_unseen) {
        bool is_exact;
        return moves_of(waiter->gil, &is_exact) == waiter->moves && wait_graph_is_unseen_waiter(waiter->tid);
    }
    return index >= 0 && journal_read_thread((unsigned)index, &thread) && thread.now.phase == JOURNAL_WAITS &&
           ticks_to_ns(thread.now.since) / 1000000 == waiter->since / 1000000;
}
