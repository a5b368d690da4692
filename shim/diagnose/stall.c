#include "diagnose/stall.h"

#include <pthread.h>
#include <string.h>

#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "diagnose/report.h"
#include "diagnose/stacks.h"
#include "diagnose/stall_report.h"
#include "diagnose/stall_watch.h"
#include "diagnose/wait_graph.h"
#include "journal/journal.h"
#include "process/background.h"
#include "process/options.h"
#include "system/elf.h"
#include "system/loader.h"
#include "system/text.h"
#include "system/ticks.h"

bool stall_is_due;

enum { WAITERS = 64, REST = 192 /* of whom one may be the partner of a deadlock */ };
static const uint64_t shortest_period = 5000000;
static const uint64_t longest_period = 250000000;

/* A stall lasts from the first thread that has waited too long until there is none. There is one for each GIL. */
struct stall {
    int64_t gil;
    struct waiter first;
    uint64_t next; /* when it is to be told again */
    /* What was told last. If it is told again unchanged, one line is enough. */
    uintptr_t stack;
    uintptr_t pc;
    struct holder holder;
    enum wait_graph_kind kind;
    bool is_told;
    bool is_part; /* of another GIL's, which was told: the deadlock is across both */
    bool is_seen; /* at this look somebody has waited too long */
};

enum { STALLS = 32 /* at a time; of more GILs than that, none is told */ };
static struct stall stalls[STALLS];

/* Returns true if CPython is still loaded: a libpython that was opened late may have been closed again. */
static bool is_loaded(void) {
    static uint64_t load_count;
    static const void *found;
    const void *python = (const void *)real.Py_IsInitialized;
    uint64_t now = loader_changes();
    if (now != load_count || found != python) {
        struct elf_object object;
        load_count = now;
        found = python && elf_find_by_address(python, &object) ? python : NULL;
    }
    return found != NULL;
}

/* Returns false while the interpreter finalizes: threads that wait then are parked for good, by CPython or by us. */
static bool is_time_to_watch(void) {
    return real_is_served() && is_loaded() && interp_is_initialized() && !interp_is_finalizing();
}

static bool is_repeated(const struct stall *stall, const struct picture *picture) {
    return stall->is_told && stall->kind == picture->kind && stall->holder.tid == picture->holder.tid &&
           stall->holder.state == picture->holder.state && picture->holding.look.call >= 0 &&
           stall->stack == picture->holding.look.stack && stall->pc == picture->holding.look.pc;
}

/* Returns the stall of this GIL, or room for one, or NULL. `first`: who has waited longest, or NULL; a stall goes on as another
 * GIL's if it began with the same wait, before there were several GILs. */
static struct stall *stall_of(int64_t gil, const struct waiter *first) {
    struct stall *room = NULL;
    for (size_t i = 0; i < STALLS; i++) {
        bool is_same = first && stalls[i].first.tid == first->tid && stalls[i].first.since == first->since;
        if (stalls[i].is_told && (stalls[i].gil == gil || is_same)) {
            stalls[i].gil = gil;
            return &stalls[i];
        }
        room = room || stalls[i].is_told ? room : &stalls[i];
    }
    if (room) {
        *room = (struct stall){.gil = gil};
    }
    return room;
}

/* The other GILs of a circle are told of with the first one. */
static void note_parts(const struct picture *picture, uint64_t now, uint64_t next) {
    for (size_t i = 1; i < picture->step_count; i++) {
        struct stall *part = stall_of(picture->steps[i].gil, NULL);
        if (part && !part->is_told) {
            part->is_told = part->is_part = part->is_seen = true;
        }
        if (part) {
            part->next = next + (next - now) / 2; /* later than the first one's */
        }
    }
}

static void tell(struct stall *stall, struct waiter *waiters, size_t kept, size_t count, size_t rest, uint64_t now) {
    static struct picture picture;
    wait_graph_take(&picture, waiters, kept, count, rest);
    if (!stall_watch_waits_still(&waiters[0])) {
        return; /* the thread has just got the GIL */
    }
    if (!stall->is_told || stall->is_part) {
        stall->first = waiters[0];
    }
    stall_report(&picture, now, is_repeated(stall, &picture));
    stall->is_told = stall->is_seen = true;
    stall->is_part = false;
    stall->next = now + (now - stall->first.since);
    stall->kind = picture.kind;
    stall->holder = picture.holder;
    stall->stack = picture.holding.look.stack;
    stall->pc = picture.holding.look.pc;
    note_parts(&picture, now, stall->next);
}

/* Moves the waiters for this GIL to the front, in their order. Returns how many they are. */
static size_t put_first(struct waiter *waiters, size_t count, int64_t gil) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        if (waiters[i].gil == gil) {
            struct waiter waiter = waiters[i];
            memmove(&waiters[found + 1], &waiters[found], (i - found) * sizeof *waiters);
            waiters[found++] = waiter;
        }
    }
    return found;
}

/* Tells of the stall of the GIL that `first` waits for. `count` waiters have waited for too long, for this and other GILs. */
static void tell_of(const struct waiter *first, const struct waiter *all, size_t count, uint64_t now) {
    static struct waiter waiters[WAITERS + REST + PICTURE_EXTRA];
    size_t known = count < WAITERS ? count : WAITERS;
    int64_t gil = first->gil;
    struct stall *stall = stall_of(gil, first);
    if (!stall) {
        return;
    }
    stall->is_seen = true;
    if (stall->is_told && now < stall->next) {
        return;
    }
    memcpy(waiters, all, known * sizeof *all);
    size_t of_this = put_first(waiters, known, gil);
    size_t rest = known - of_this + stall_watch_rest(waiters, known, WAITERS + REST, now);
    tell(stall, waiters, of_this, of_this == known ? count : of_this, rest, now);
}

/* Ends the stalls of GILs that nobody has waited for too long any more. */
static void end_stalls(uint64_t now) {
    for (size_t i = 0; i < STALLS; i++) {
        struct stall *stall = &stalls[i];
        if (stall->is_told && !stall->is_seen) {
            stall->is_told = false;
            if (!stall->is_part && is_time_to_watch()) {
                stall_report_end(&stall->first, now - stall->first.since);
            }
        }
    }
}

static void look(void) {
    static struct waiter waiters[WAITERS];
    uint64_t now = ticks_monotonic();
    size_t count = is_time_to_watch() ? stall_watch_look(waiters, WAITERS, options.stall_ns, now) : 0;
    for (size_t i = 0; i < STALLS; i++) {
        stalls[i].is_seen = false;
    }
    for (size_t i = 0; i < count && i < WAITERS; i++) {
        size_t earlier = 0;
        while (earlier < i && waiters[earlier].gil != waiters[i].gil) {
            earlier++;
        }
        if (earlier == i) {
            tell_of(&waiters[i], waiters, count, now);
        }
    }
    end_stalls(now);
}

static void watch(void) {
    uint64_t period = options.stall_ns / 8;
    period = period < shortest_period ? shortest_period : period > longest_period ? longest_period : period;
    const char *reason;
    stacks_prepare();
    while (background_may_go_on(&reason)) {
        look();
        background_sleep(period);
    }
    if (reason) {
        char buffer[200];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "warning: the stall watch ends: ");
        text_add(&text, reason);
        report_line(text_end(&text));
    }
}

static void after_fork_in_child(void) {
    background_forked();
    gil_forked();
    memset(stalls, 0, sizeof stalls);
    stall_is_due = true;
}

void stall_prepare(void) {
    if (options.stall_ns && journal_is_on && pthread_atfork(NULL, NULL, after_fork_in_child) == 0) {
        stall_is_due = true;
    }
}

void stall_start(void) {
    if (background_may_start()) {
        stall_start_now();
    }
}

void stall_start_now(void) {
    if (!__atomic_exchange_n(&stall_is_due, false, __ATOMIC_ACQ_REL)) {
        return;
    }
    if (!background_start(watch, "gilshim-stall")) {
        report_line("warning: no thread for the stall watch: stalls are not told");
    }
}
