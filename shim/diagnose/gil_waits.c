#include "diagnose/gil_waits.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpython/gil.h"
#include "diagnose/held_locks.h"
#include "diagnose/lock_finding.h"
#include "diagnose/lock_report.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/options.h"
#include "system/thread.h"
#include "system/ticks.h"

const char *const lock_names[LOCK_FUNCTIONS] = {
#define LOCK(type, name, parameters) #name,
#include "locks.def"
#undef LOCK
};

/* Up to 3.11 there may be threads that only seem to have the GIL. More than that are not noted. While several interpreters
 * may have a GIL each (3.12+), or there is none, nothing is. */
enum { SLOTS = 32 };
static struct slot {
    uint32_t tid;    /* of the thread that the slot belongs to; 0: free */
    uint32_t number; /* counts what happens in this slot: odd while the thread waits */
    uint32_t function;
    uintptr_t thread;
    const void *site;
    const void *frame; /* that waits */
} slots[SLOTS];
static uint32_t taken; /* how many threads wait */

struct needs {
    uint32_t tid;
    uint16_t call;
    const void *site;
};

static void report(const struct slot *slot, const struct needs *needs, bool is_joined, uint64_t waited_ns) {
    struct lock_finding finding;
    if (!lock_finding_is_new(slot->site, needs->site)) {
        return;
    }
    memset(&finding, 0, sizeof finding);
    finding.waits_in = lock_names[slot->function];
    finding.waits_tid = slot->tid;
    finding.needs_site = needs->site;
    finding.needs_call = needs->call;
    finding.needs_tid = needs->tid;
    finding.is_joined = is_joined;
    finding.waited_ns = waited_ns;
    held_locks.is_inside = true;
    report_find(REPORT_waits_with_gil, slot->site, JOURNAL_NO_CALL, &finding, &lock_report_words);
    held_locks.is_inside = false;
}

/* Returns true if the thread waits for the GIL, as its calls show. */
static bool waits_for_gil(uintptr_t pthread, struct needs *needs) {
    struct journal_thread thread;
    unsigned count = journal_count();
    for (unsigned i = 0; i < count; i++) {
        if (journal_read_thread(i, &thread) && !thread.has_ended && thread.pthread == pthread) {
            *needs = (struct needs){(uint32_t)thread.tid, thread.now.call, thread.now.caller};
            return thread.now.phase == JOURNAL_WAITS;
        }
    }
    return false;
}

enum { PATIENCE_MS = 100 };

/* Finds a thread that has been waiting for the GIL for longer than another one is given to get on. */
static bool find_waiting(struct needs *needs) {
    struct journal_thread thread;
    unsigned count = journal_count();
    uint64_t now = ticks_now();
    for (unsigned i = 0; i < count; i++) {
        if (journal_read_thread(i, &thread) && !thread.has_ended && thread.now.phase == JOURNAL_WAITS &&
            (uint32_t)thread.tid != held_locks_tid() &&
            ticks_span_ns(ticks_between(thread.now.since, now)) > PATIENCE_MS * (uint64_t)1000000) {
            *needs = (struct needs){(uint32_t)thread.tid, thread.now.call, thread.now.caller};
            return true;
        }
    }
    return false;
}

/* Ends the wait that has this odd number in the slot. Returns false if it is over. */
static bool end_wait(struct slot *slot, uint32_t number) {
    if (!__atomic_compare_exchange_n(&slot->number, &number, number + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return false;
    }
    __atomic_sub_fetch(&taken, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->tid, 0, __ATOMIC_RELEASE);
    return true;
}

/* Ends what is left of a wait of the calling thread's, which does something else now. */
static void end_own(void) {
    for (int i = 0; i < SLOTS; i++) {
        uint32_t number = __atomic_load_n(&slots[i].number, __ATOMIC_ACQUIRE);
        if ((number & 1) && __atomic_load_n(&slots[i].tid, __ATOMIC_RELAXED) == held_locks_tid()) {
            end_wait(&slots[i], number);
        }
    }
}

/* Returns the ticket of the wait, or 0 if no slot is free. */
static uint64_t take_slot(enum lock_function function, uintptr_t thread, const void *frame, const void *site) {
    for (unsigned i = 0; i < SLOTS; i++) {
        uint32_t expected = 0;
        struct slot *slot = &slots[i];
        if (__atomic_load_n(&slot->tid, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&slot->tid, &expected, held_locks_tid(), false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            slot->function = function;
            slot->thread = thread;
            slot->site = site;
            slot->frame = frame;
            __atomic_add_fetch(&taken, 1, __ATOMIC_SEQ_CST);
            return (uint64_t)__atomic_add_fetch(&slot->number, 1, __ATOMIC_RELEASE) << 32 | i;
        }
    }
    return 0;
}

struct gil_wait gil_waits_begin(enum lock_function function, uintptr_t thread, const void *frame, const void *site) {
    struct gil_wait wait = {.begun = ticks_now()};
    struct needs needs;
    if (!gil_is_one()) {
        return wait;
    }
    end_own();
    wait.ticket = take_slot(function, thread, frame, site);
    if (thread && waits_for_gil(thread, &needs)) {
        struct slot own = {.tid = held_locks_tid(), .function = function, .site = site};
        report(&own, &needs, true, 0);
    }
    return wait;
}

static __attribute__((noinline)) void tell_hold(enum lock_function function, const void *site, uint64_t waited) {
    struct lock_finding finding;
    if (!lock_finding_is_new(site, NULL)) {
        return;
    }
    memset(&finding, 0, sizeof finding);
    finding.waits_in = lock_names[function];
    finding.waits_tid = held_locks_tid();
    finding.waited_ns = waited;
    held_locks.is_inside = true;
    report_find(REPORT_holds_gil, site, JOURNAL_NO_CALL, &finding, &lock_report_words);
    held_locks.is_inside = false;
}

/* A thread that waited for the GIL before this one began to wait could not see it. */
static __attribute__((noinline)) void look_back(enum lock_function function, const void *site, uint64_t waited) {
    struct slot own = {.tid = held_locks_tid(), .function = function, .site = site};
    struct needs needs;
    if (find_waiting(&needs)) {
        report(&own, &needs, false, waited);
    }
}

void gil_waits_end(const struct gil_wait *wait, enum lock_function function, const void *site) {
    int saved_errno = errno;
    if (wait->ticket) {
        end_wait(&slots[(uint32_t)wait->ticket], (uint32_t)(wait->ticket >> 32));
    }
    uint64_t waited = ticks_span_ns(ticks_between(wait->begun, ticks_now()));
    if (wait->ticket && waited > PATIENCE_MS * (uint64_t)1000000) {
        look_back(function, site, waited);
    }
    if (options.hold_ns && waited > options.hold_ns) {
        tell_hold(function, site, waited);
    }
    errno = saved_errno;
}

/* Copies a slot whose thread waits. */
static bool read_slot(const struct slot *slot, struct slot *copy) {
    uint32_t number = __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE);
    *copy = *slot;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    copy->number = number;
    return (number & 1) && copy->tid && __atomic_load_n(&slot->number, __ATOMIC_RELAXED) == number;
}

/* Returns true if the thread sleeps in its wait, as far as the kernel says: in a futex, with its stack below the frame that
 * waits. A thread that is about to sleep gets some time for it. */
static bool sleeps(const struct slot *copy) {
    enum { LOOKS = 10, DEPTH = 64 * 1024 };
    const struct timespec step = {.tv_nsec = 500000};
    struct thread_look look;
    int state;
    bool is_asleep = false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* reading a file is a cancellation point */
    for (int i = 0; i < LOOKS && !is_asleep; i++) {
        if (i) {
            syscall(SYS_nanosleep, &step, NULL);
        }
        thread_look_at_call((pid_t)copy->tid, &look);
        if (look.is_hidden) {
            is_asleep = thread_exists((pid_t)copy->tid);
            break;
        }
        is_asleep = thread_is_in_futex(&look) && (uintptr_t)copy->frame - look.stack < DEPTH;
    }
    pthread_setcancelstate(state, &state);
    return is_asleep;
}

/* Waits until the other thread gets on, for a tenth of a second. Returns true if it did not. */
static bool stays(const struct slot *slot, uint32_t number) {
    const struct timespec step = {.tv_nsec = 1000000};
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (__atomic_load_n(&slot->number, __ATOMIC_ACQUIRE) != number) {
            return false;
        }
        syscall(SYS_nanosleep, &step, NULL); /* which is no cancellation point */
    }
    return __atomic_load_n(&slot->number, __ATOMIC_ACQUIRE) == number;
}

static __attribute__((noinline)) void look(const struct needs *needs) {
    for (int i = 0; i < SLOTS; i++) {
        struct slot copy;
        if (!read_slot(&slots[i], &copy) || copy.tid == needs->tid) {
            continue;
        }
        if (!sleeps(&copy)) {
            end_wait(&slots[i], copy.number);
            continue;
        }
        uint64_t begun = ticks_now();
        if (copy.thread) {
            /* Another thread's join ends by itself as soon as that thread does. */
            if (copy.thread == (uintptr_t)pthread_self()) {
                report(&copy, needs, true, 0);
            }
        } else if (stays(&slots[i], copy.number)) {
            report(&copy, needs, false, ticks_span_ns(ticks_between(begun, ticks_now())));
        }
    }
}

void gil_waits_look(uint16_t call, const void *caller) {
    if (__builtin_expect(!__atomic_load_n(&taken, __ATOMIC_SEQ_CST), 1) || held_locks.is_inside || !gil_is_one()) {
        return;
    }
    int saved_errno = errno;
    end_own();
    look(&(struct needs){held_locks_tid(), call, caller});
    errno = saved_errno;
}

/* The numbers go on, so that a wait in which the process was forked finds that it is over. */
void gil_waits_forked(void) {
    for (int i = 0; i < SLOTS; i++) {
        slots[i].number += slots[i].number & 1;
        slots[i].tid = 0;
    }
    taken = 0;
}
