/* What a crash looks like, from what is known of it. */
#include "diagnose/crash_facts.h"

/* ---- whether the state was deleted ------------------------------------------------------------------------------- */

enum { EVENTS_READ = 128 };

/* Calls `look` with the last events of all threads that are about `state`. */
static void visit_events(const void *state, void (*look)(const struct journal_event *event, pid_t tid, void *argument),
                         void *argument) {
    for (unsigned index = 0; index < journal_count(); index++) {
        struct journal_event events[EVENTS_READ];
        struct journal_thread thread;
        unsigned torn;
        unsigned count =
            journal_read_thread(index, &thread) ? journal_read_events(index, events, EVENTS_READ, &torn) : 0;
        for (unsigned i = 0; i < count; i++) {
            bool is_of_ours = events[i].kind == JOURNAL_REPAIR || events[i].kind == JOURNAL_MISUSE;
            if (events[i].state == state && !is_of_ours) {
                look(&events[i], thread.tid, argument);
            }
        }
    }
}

struct deletion {
    bool is_found, has_next;
    struct journal_event event, next; /* the last deletion of the state, and what came after it */
    pid_t tid;
};

static void look_for_deletion(const struct journal_event *event, pid_t tid, void *argument) {
    struct deletion *deletion = argument;
    if (event->kind == JOURNAL_DELETE && (!deletion->is_found || event->time > deletion->event.time)) {
        deletion->is_found = true;
        deletion->event = *event;
        deletion->tid = tid;
    }
}

static void look_for_next(const struct journal_event *event, pid_t tid, void *argument) {
    struct deletion *deletion = argument;
    (void)tid;
    if (event->kind != JOURNAL_DELETE && event->time > deletion->event.time &&
        (!deletion->has_next || event->time < deletion->next.time)) {
        deletion->has_next = true;
        deletion->next = *event;
    }
}

/* A new state may have come to the address of a deleted one. Then the next event is that it was made, or, if CPython
 * made it unseen, that it was detached; the deleted one can only be attached. */
static bool was_deleted(struct crash *crash) {
    struct deletion deletion = {.is_found = false};
    visit_events(crash->state, look_for_deletion, &deletion);
    if (!deletion.is_found) {
        return false;
    }
    visit_events(crash->state, look_for_next, &deletion);
    bool is_gone = !deletion.has_next || deletion.next.kind == JOURNAL_ATTACH || deletion.next.kind == JOURNAL_SWAP;
    if (is_gone) {
        crash->deleted = deletion.event;
        crash->deleter = deletion.tid;
    }
    return is_gone;
}

/* ---- what it looks like ------------------------------------------------------------------------------------------ */

static enum crash_class class_of(struct crash *crash, const struct crash_process *process) {
    bool was_sent =
        crash->info.si_code == SI_USER || crash->info.si_code == SI_TKILL || crash->info.si_code == SI_QUEUE;
    if (was_sent && crash->info.si_pid != process->pid) {
        return CRASH_SENT;
    }
    if (!process->is_known) {
        return CRASH_UNKNOWN;
    }
    bool is_in_call = crash->stack.is_in_cpython;
    if (crash->state && (was_deleted(crash) || crash->is_state_gone)) {
        return CRASH_DELETED;
    }
    if (crash->ending && is_in_call && (crash->gil != CURRENT_THREAD_HAS_GIL || !process->is_initialized)) {
        return CRASH_FINALIZED;
    }
    switch (crash->gil) {
    case CURRENT_THREAD_HAS_GIL: return CRASH_WITH_GIL;
    case CURRENT_THREAD_HAS_NO_GIL: return is_in_call ? CRASH_NO_STATE : CRASH_OUTSIDE;
    default: return CRASH_UNKNOWN;
    }
}

/* A thread that has run to the end of its stack faults close to its stack pointer. A function with large arrays touches
 * the farther end first. */
static bool has_run_out(const struct crash *crash) {
    enum { NEAR = 256 * 1024, ABOVE = 4096 };
    uintptr_t address = (uintptr_t)crash->info.si_addr;
    return crash->info.si_signo == SIGSEGV && crash->info.si_code > 0 && crash->info.si_code != SI_KERNEL &&
           address != (uintptr_t)crash->stack.frames[0] - 1 && crash->stack.stack &&
           address >= crash->stack.stack - NEAR && address < crash->stack.stack + ABOVE;
}

void crash_judge(struct crash *crash, const struct crash_process *process) {
    crash->is_overflow = has_run_out(crash);
    crash->class = class_of(crash, process);
}
