#include "inspect/watch.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpython/real.h"
#include "diagnose/stacks.h"
#include "inspect/choice.h"
#include "inspect/entry.h"
#include "inspect/gil.h"
#include "inspect/target.h"
#include "system/thread.h"
#include "system/ticks.h"

enum { THREADS_MAX = 16384, PERIOD_NS = 10000000, LOOKS_AT_LEAST = 4 };

static struct watched_python pythons[INTERPRETER_CPYTHONS];
static size_t python_count;

/* A thread that was found waiting for a GIL at the last look, and at earlier ones. */
static struct suspect {
    pid_t tid;
    size_t python, gil;
    unsigned looks;
    unsigned round;
    uint64_t since;
    uint64_t cpu_time;
    unsigned long switches; /* the GIL's, then */
} * suspects;
static size_t suspect_count;
static pid_t tids[THREADS_MAX];
static uint64_t begun, ended;
static unsigned rounds;
static size_t looked_at, hidden; /* threads, in the last round */

/* ---- the interpreters -------------------------------------------------------------------------------------------- */

static void take_picture(struct watched_python *python) {
    python->has_picture = interpreter_read(&python->cpython, &python->picture);
    python->gil_count = 0;
    for (size_t i = 0; python->has_picture && i < python->picture.gil_count && i < WATCH_GILS; i++) {
        python->gils[python->gil_count++] = (struct watched_gil){.now = python->picture.gils[i]};
    }
}

size_t watch_start(struct watched_python **all) {
    struct interpreter_cpython cpythons[INTERPRETER_CPYTHONS];
    for (size_t i = 0; i < python_count; i++) {
        if (pythons[i].has_picture) {
            interpreter_release(&pythons[i].picture);
        }
    }
    memset(pythons, 0, sizeof pythons);
    suspect_count = 0;
    rounds = 0;
    python_count = interpreter_find(cpythons, INTERPRETER_CPYTHONS);
    python_count = python_count < INTERPRETER_CPYTHONS ? python_count : INTERPRETER_CPYTHONS;
    for (size_t i = 0; i < python_count; i++) {
        pythons[i].cpython = cpythons[i];
        if (!cpythons[i].reason) {
            take_picture(&pythons[i]);
        }
    }
    *all = pythons;
    return python_count;
}

static void look_at_gil(const struct interpreter_cpython *cpython, struct watched_gil *gil) {
    struct interpreter_gil before = gil->now;
    if (!interpreter_look_again(cpython, &gil->now)) {
        return;
    }
    gil->looks++;
    gil->free_looks += gil->now.lock == GIL_FREE;
    if (gil->now.has_switches && before.has_switches && gil->now.switches != before.switches) {
        gil->has_moved = true;
        gil->changes += gil->now.switches - before.switches;
    } else if (gil->now.holder != before.holder || gil->now.last_holder != before.last_holder ||
               gil->now.lock != before.lock) {
        gil->has_moved = true;
        gil->changes += gil->now.last_holder != before.last_holder;
    }
}

/* The states may be others now. GILs are known again by their addresses. */
static void renew_picture(struct watched_python *python) {
    struct interpreter_picture old = python->picture;
    static struct watched_gil gils[WATCH_GILS];
    size_t count = python->gil_count;
    memcpy(gils, python->gils, sizeof gils);
    if (!interpreter_read(&python->cpython, &python->picture)) {
        python->picture = old; /* it is ending; what was known is worth more than nothing */
        return;
    }
    python->gil_count = 0;
    for (size_t i = 0; i < python->picture.gil_count && i < WATCH_GILS; i++) {
        struct watched_gil *gil = &python->gils[python->gil_count++];
        *gil = (struct watched_gil){.now = python->picture.gils[i], .has_moved = true};
        for (size_t j = 0; j < count; j++) {
            if (gils[j].now.address == gil->now.address) {
                *gil = gils[j];
                look_at_gil(&python->cpython, gil);
            }
        }
    }
    interpreter_release(&old);
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

/* Returns true if the thread sleeps in a wait for a GIL, and which. CPython 3 waits for it with a time limit, in its own
 * variables: that is all that can be told if the GIL's place is not known. */
static bool waits_for_gil(const struct thread_look *look, size_t *python, size_t *gil) {
    for (size_t i = 0; thread_is_in_futex(look) && i < python_count; i++) {
        if (!pythons[i].has_picture || !pythons[i].gil_count) {
            continue;
        }
        *python = i;
        *gil = 0;
        if (pythons[i].gils[0].now.address) {
            if (interpreter_waits_for(&pythons[i].picture, look->arguments[0], gil) == WAIT_FOR_GIL &&
                *gil < pythons[i].gil_count) {
                return true;
            }
            continue;
        }
        choice_make(&pythons[i], 0);
        if (wait_graph_waits_in_python(look)) {
            return true;
        }
    }
    return false;
}

/* Returns true if the call does nothing but take the GIL, when another thread has it. */
static bool only_takes_gil(uint16_t call) {
    return call == REAL_INDEX_PyGILState_Ensure || call == REAL_INDEX_PyEval_RestoreThread ||
           call == REAL_INDEX_PyEval_AcquireThread || call == REAL_INDEX_PyEval_AcquireLock;
}

/* A core file shows one moment, and who waits for a GIL wakes up every 5 ms to ask for it. Returns true if the thread's stack shows
 * that it is taking the GIL that another thread has. */
static bool wakes_to_ask(pid_t tid, size_t *python, size_t *gil) {
    static struct stack stack;
    struct thread_look look;
    uint16_t call;
    const void *caller;
    for (size_t i = 0; target_source()->is_core && i < python_count; i++) {
        const struct interpreter_gil *first = &pythons[i].gils[0].now;
        if (!pythons[i].has_picture || pythons[i].gil_count != 1 || first->lock != GIL_HELD) {
            continue;
        }
        const struct interpreter_state *holder = interpreter_state_at(&pythons[i].picture, first->holder);
        if (!holder || interpreter_thread_of(holder) == tid || !thread_look(tid, &look)) {
            continue;
        }
        choice_make(&pythons[i], 0);
        stacks_take(&look, &stack);
        if (entry_find(&stack, &pythons[i].cpython.object->elf, &call, &caller) && only_takes_gil(call)) {
            *python = i;
            *gil = 0;
            return true;
        }
    }
    return false;
}

static struct suspect *find_suspect(pid_t tid) {
    for (size_t i = 0; i < suspect_count; i++) {
        if (suspects[i].tid == tid) {
            return &suspects[i];
        }
    }
    return NULL;
}

/* Returns true if the thread had the GIL in between: it then used CPU time. A thread that only wakes up every 5 ms to ask
 * for the GIL uses little. With a short sys.setswitchinterval() it uses much: but a GIL that counts how often it changes
 * hands has not been anybody else's while that count is the same. */
static bool has_worked(const struct suspect *suspect, uint64_t cpu_time, uint64_t now) {
    const struct interpreter_gil *gil = &pythons[suspect->python].gils[suspect->gil].now;
    return (!gil->has_switches || gil->switches != suspect->switches) &&
           cpu_time > suspect->cpu_time + 2000000 + (now - suspect->since) / 50;
}

static void look_at_thread(pid_t tid, uint64_t now) {
    struct thread_look look;
    size_t python = 0, gil = 0;
    struct suspect *suspect = find_suspect(tid);
    if (!thread_look_at_call(tid, &look)) {
        hidden += thread_exists(tid);
        return;
    }
    looked_at++;
    bool waits = waits_for_gil(&look, &python, &gil) || wakes_to_ask(tid, &python, &gil);
    if (!waits && !(suspect && look.call < 0)) {
        return; /* not carried over to this round, so forgotten */
    }
    uint64_t cpu_time = thread_cpu_time(tid);
    bool is_other = suspect && waits && (suspect->python != python || suspect->gil != gil);
    if (is_other || (suspect && has_worked(suspect, cpu_time, now))) {
        suspect->looks = 0;
    }
    if (!suspect && suspect_count < THREADS_MAX) {
        suspect = &suspects[suspect_count++];
        *suspect = (struct suspect){.tid = tid};
    }
    if (suspect && waits) {
        suspect->python = python;
        suspect->gil = gil;
    }
    if (suspect && suspect->looks == 0) {
        suspect->since = now;
        suspect->cpu_time = cpu_time;
        suspect->switches = pythons[suspect->python].gils[suspect->gil].now.switches;
    }
    if (suspect && waits) {
        suspect->looks++;
    }
    if (suspect) {
        suspect->round = rounds;
    }
}

static void look_at_threads(void) {
    size_t count = target_threads(tids, THREADS_MAX);
    rounds++;
    looked_at = hidden = 0;
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        look_at_thread(tids[i], ticks_monotonic());
    }
    for (size_t i = suspect_count; i-- > 0;) {
        if (suspects[i].round != rounds) {
            suspects[i] = suspects[--suspect_count];
        }
    }
}

/* Notes how much CPU time the holders use. */
static void note_holders(bool is_end) {
    for (size_t i = 0; i < python_count; i++) {
        for (size_t j = 0; j < pythons[i].gil_count; j++) {
            struct watched_gil *gil = &pythons[i].gils[j];
            const struct interpreter_state *state =
                !is_end && gil->now.holder ? interpreter_state_at(&pythons[i].picture, gil->now.holder) : NULL;
            gil->holder = state ? state->tid : gil->holder;
            uint64_t time = gil->holder ? thread_cpu_time(gil->holder) : 0;
            gil->holder_cpu = is_end ? gil->holder_cpu : time;
            gil->holder_used = is_end && time > gil->holder_cpu ? time - gil->holder_cpu : 0;
        }
    }
}

/* 2.7 does not count how often its GIL changes hands, but what the holder has done. */
static void note_work(bool is_end) {
    for (size_t i = 0; i < python_count; i++) {
        for (size_t j = 0; j < pythons[i].gil_count; j++) {
            struct watched_gil *gil = &pythons[i].gils[j];
            int count = 0;
            gil->worker = is_end ? gil->worker : gil->now.holder;
            bool is_known = interpreter_count_of_work(&pythons[i].cpython, gil->worker, &count);
            gil->has_moved |= is_end && is_known && gil->worker == gil->now.holder && count != gil->work;
            gil->work = count;
        }
    }
}

static int compare(const void *one, const void *other) {
    const struct suspect *a = one, *b = other;
    return a->since < b->since ? -1 : a->since > b->since;
}

void watch_run(uint64_t duration) {
    suspects = suspects ? suspects : calloc(THREADS_MAX, sizeof *suspects);
    if (!suspects) {
        return;
    }
    begun = ticks_monotonic();
    note_holders(false);
    note_work(false);
    do { /* with many threads, a long watch must not keep a processor busy */
        uint64_t round_begun = ticks_monotonic();
        look_at_threads();
        for (size_t i = 0; i < python_count; i++) {
            for (size_t j = 0; j < pythons[i].gil_count; j++) {
                look_at_gil(&pythons[i].cpython, &pythons[i].gils[j]);
            }
        }
        uint64_t took = ticks_monotonic() - round_begun;
        uint64_t ns = rounds >= LOOKS_AT_LEAST && 4 * took > PERIOD_NS ? 4 * took : PERIOD_NS;
        ns = target_source()->is_core ? 0 : ns;
        struct timespec pause = {(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
        nanosleep(&pause, NULL);
    } while (ticks_monotonic() - begun < duration || rounds < LOOKS_AT_LEAST);
    look_at_threads();
    ended = ticks_monotonic();
    note_holders(true);
    note_work(true);
    qsort(suspects, suspect_count, sizeof *suspects, compare);
    for (size_t i = 0; i < python_count; i++) {
        if (pythons[i].has_picture) {
            renew_picture(&pythons[i]);
        }
    }
}

uint64_t watch_begun(void) {
    return begun;
}

/* ---- what was seen ----------------------------------------------------------------------------------------------- */

/* A look may find a waiter awake, between two waits. */
static bool waited_all_the_time(const struct suspect *suspect) {
    return suspect->looks >= LOOKS_AT_LEAST && suspect->since - begun <= (ended - begun) / 2;
}

static void describe(struct waiter *waiter, const struct suspect *suspect) {
    memset(waiter, 0, sizeof *waiter);
    waiter->tid = suspect->tid;
    waiter->is_unseen = true;
    waiter->is_older = true;
    waiter->since = suspect->since;
    waiter->gil = gil_id(&pythons[suspect->python].picture, suspect->gil);
    thread_read_name(suspect->tid, waiter->name);
}

size_t watch_waiters(const struct watched_python *python, size_t gil, struct waiter *waiters, size_t capacity,
                     size_t *all_the_time) {
    size_t count = 0, total = 0;
    *all_the_time = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < suspect_count; i++) {
            const struct suspect *suspect = &suspects[i];
            if (suspect->python != (size_t)(python - pythons) || suspect->gil != gil || !suspect->looks ||
                waited_all_the_time(suspect) == (pass == 1)) {
                continue;
            }
            if (count < capacity) {
                describe(&waiters[count++], suspect);
            }
            *all_the_time += pass == 0;
            total++;
        }
    }
    return total;
}

size_t watch_hidden(bool *is_all) {
    *is_all = hidden && !looked_at;
    return hidden;
}

bool watch_is_waiter(pid_t tid) {
    const struct suspect *suspect = find_suspect(tid);
    return suspect && suspect->looks;
}
