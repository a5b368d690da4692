#include "diagnose/absence.h"

#include <stdbool.h>
#include <stddef.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "diagnose/report_detail.h"
#include "journal/journal.h"
#include "system/symbol.h"
#include "system/ticks.h"

static void add_event(struct text *text, const char *words, const struct journal_event *event, uint64_t now) {
    text_add(text, words);
    if (event->call != JOURNAL_NO_CALL) {
        text_add(text, report_call_name(event->call));
    }
    text_add(text, " at ");
    symbol_add(text, event->caller);
    text_add(text, " ");
    text_add_seconds(text, ticks_span_ns(ticks_between(event->time, now)), 6);
    text_add(text, " s ago");
}

/* Returns true if the event says what became of the attached state. */
static bool is_change(const struct journal_event *event) {
    switch (event->kind) {
    case JOURNAL_RELEASE: return event->detail != 0; /* not of a nested Ensure */
    case JOURNAL_ATTACH:
    case JOURNAL_ENSURE:
    case JOURNAL_DETACH:
    case JOURNAL_DELETE:
    case JOURNAL_SWAP:
    case JOURNAL_INTERPRETER_MADE:
    case JOURNAL_INTERPRETER_ENDS:
    case JOURNAL_FINALIZE: return true;
    default: return false;
    }
}

/* Finds the last change among the calling thread's events. Returns false if there is none. */
static bool find_change(struct journal_event *change) {
    enum { EVENTS = 32 };
    struct journal_event events[EVENTS];
    unsigned torn;
    int index = journal_own_index();
    unsigned count = index >= 0 ? journal_read_events((unsigned)index, events, EVENTS, &torn) : 0;
    while (count > 0) {
        if (is_change(&events[--count])) {
            *change = events[count];
            return true;
        }
    }
    return false;
}

static bool was_initialized;

void absence_note_attached(void) {
    __atomic_store_n(&was_initialized, true, __ATOMIC_RELAXED);
}

static bool has_been_finalized(void) {
    return interp_may_have_ended() || __atomic_load_n(&was_initialized, __ATOMIC_RELAXED);
}

void absence_add(struct text *text, uint64_t now) {
    struct journal_event change;
    bool is_found = find_change(&change);
    if (is_found && change.kind == JOURNAL_FINALIZE) {
        add_event(text, "Python has been finalized, by ", &change, now);
    } else if (!interp_is_initialized()) {
        text_add(text, has_been_finalized() ? "Python has been finalized" : "Python is not initialized");
    } else if (interp_is_finalizing()) {
        text_add(text, "Python is being finalized, and this thread has no thread state attached");
    } else if (!is_found) {
        text_add(text, "this thread has never attached a thread state");
    } else if (change.kind == JOURNAL_DETACH || change.kind == JOURNAL_RELEASE ||
               (change.kind == JOURNAL_SWAP && !change.state)) {
        add_event(text, "this thread gave it up by ", &change, now);
    } else if (change.kind == JOURNAL_DELETE) {
        add_event(text, "this thread deleted its thread state by ", &change, now);
    } else if (change.kind == JOURNAL_INTERPRETER_ENDS) {
        add_event(text, "this thread ended its interpreter by ", &change, now);
    } else {
        add_event(text, "this thread's state is not attached any more, since another one has been; it was by ", &change,
                  now);
    }
}
