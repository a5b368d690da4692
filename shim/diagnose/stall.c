#include "diagnose/stall.h"

#include <pthread.h>

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

/* A stall lasts from the first thread that has waited too long until there is none. */
static struct {
    bool is_told;
    struct waiter first;
    uint64_t next; /* when it is to be told again */
    /* What was told last. If it is told again unchanged, one line is enough. */
    enum wait_graph_kind kind;
    struct holder holder;
    uintptr_t stack;
    uintptr_t pc;
} stall;

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

static bool is_repeated(const struct picture *picture) {
    return stall.is_told && stall.kind == picture->kind && stall.holder.tid == picture->holder.tid &&
           stall.holder.state == picture->holder.state && picture->holding.look.call >= 0 &&
           stall.stack == picture->holding.look.stack && stall.pc == picture->holding.look.pc;
}

static void tell(struct waiter *waiters, size_t count, uint64_t now) {
    static struct picture picture;
    size_t kept = count < WAITERS ? count : WAITERS;
    size_t rest = stall_watch_rest(waiters, kept, WAITERS + REST, now);
    wait_graph_take(&picture, waiters, kept, count, rest);
    if (!stall_watch_waits_still(&waiters[0])) {
        return; /* the thread has just got the GIL */
    }
    if (!stall.is_told) {
        stall.first = waiters[0];
    }
    stall_report(&picture, now, is_repeated(&picture));
    stall.is_told = true;
    stall.next = now + (now - stall.first.since);
    stall.kind = picture.kind;
    stall.holder = picture.holder;
    stall.stack = picture.holding.look.stack;
    stall.pc = picture.holding.look.pc;
}

static void look(void) {
    static struct waiter waiters[WAITERS + REST + PICTURE_EXTRA];
    uint64_t now = ticks_monotonic();
    size_t count = is_time_to_watch() ? stall_watch_look(waiters, WAITERS, options.stall_ns, now) : 0;
    if (count && (!stall.is_told || now >= stall.next)) {
        tell(waiters, count, now);
    } else if (!count && stall.is_told) {
        stall.is_told = false;
        if (is_time_to_watch()) {
            stall_report_end(&stall.first, now - stall.first.since);
        }
    }
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
    stall.is_told = false;
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
