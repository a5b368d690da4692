#include <string.h>
#include <unistd.h>

#include "cpython/pauses.h"
#include "cpython/python.h"
#include "cpython/real.h"
#include "diagnose/report_detail.h"
#include "journal/journal.h"
#include "system/glimpse.h"
#include "system/symbol.h"
#include "system/thread.h"
#include "system/ticks.h"

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

void report_name_of(const struct journal_thread *thread, char name[32]) {
    memset(name, 0, sizeof thread->python_name);
    if (thread->python_name[0]) {
        memcpy(name, thread->python_name, sizeof thread->python_name);
    } else if (thread->name[0] || thread->has_ended) {
        memcpy(name, thread->name, sizeof thread->name);
    } else {
        thread_read_name(thread->tid, name);
    }
}

void report_add_heading(struct text *text, const struct report *report) {
    switch (report->grade) {
    case REPORT_REPAIRED: text_add(text, "repaired "); break;
    case REPORT_WOULD_REPAIR: text_add(text, "would repair "); break;
    case REPORT_DEADLOCK_FOLLOWS: text_add(text, "DEADLOCK would follow: "); break;
    case REPORT_FATAL_FOLLOWS: text_add(text, "FATAL would follow: "); break;
    case REPORT_FATAL: text_add(text, "FATAL: "); break;
    case REPORT_WARNING: text_add(text, "warning: "); break;
    case REPORT_GIL_ERROR: text_add(text, "GIL error: "); break;
    }
}

static void add_who(struct text *text, const struct report *report) {
    if (report->call) {
        text_add(text, report->call);
        text_add(text, " ");
    }
    if (report->caller) {
        text_add(text, "by ");
        symbol_add(text, report->caller);
        text_add(text, " ");
    }
    text_add(text, "on tid ");
    report_add_thread(text, report->tid, report->thread_name);
}

/* Returns true if CPython itself attached the state: it is beneath another one on this thread, and the ring still has
 * all events of this thread (add_origin found none that attached it). */
static bool was_attached_unseen(const struct report *report, const PyThreadState *state) {
    struct journal_thread thread;
    int index = journal_find(report->tid);
    return journal_is_on && (int)report->kind == REPAIR_held && state == report->other && index >= 0 &&
           journal_read_thread((unsigned)index, &thread) && thread.events <= thread.kept;
}

/* Adds which thread attached the state, at which place, and how long ago. */
static void add_origin(struct text *text, const struct report *report, const PyThreadState *state) {
    struct journal_event event;
    struct journal_thread thread;
    unsigned index;
    /* For a state that has moved, name the thread that had it before, not this one. */
    bool is_moved = (int)report->kind == REPAIR_moved && state == report->state;
    bool is_found = is_moved ? journal_find_attach_by_others(report->tid, state, &event, &index)
                             : journal_find_attach(state, &event, &index);
    if (!is_found || !journal_read_thread(index, &thread)) {
        text_add(text, was_attached_unseen(report, state) ? " attached by the interpreter" : "");
        return;
    }
    text_add(text, event.kind == JOURNAL_NEW ? " made by tid " : " owned by tid ");
    text_add_decimal(text, (uint64_t)thread.tid);
    text_add(text, " since ");
    text_add(text, report_call_name(event.call));
    text_add(text, " at ");
    symbol_add(text, event.caller);
    text_add(text, " ");
    text_add_seconds(text, ticks_span_ns(ticks_between(event.time, report->now)), 6);
    text_add(text, " s ago");
}

static void add_states(struct text *text, const struct report *report) {
    const PyThreadState *states[] = {report->state, report->other};
    static const char *const words[] = {"; tstate ", " over tstate "};
    for (int i = 0; i < 2; i++) {
        if (states[i] && (i == 0 || states[i] != states[0])) {
            text_add(text, words[i]);
            text_add_hex(text, (uintptr_t)states[i]);
            add_origin(text, report, states[i]);
        }
    }
}

/* Returns true if the culprit is another library than the calling one. */
static bool has_other_culprit(const struct report *report) {
    struct glimpse culprit, caller; /* the culprit may have been closed */
    return report->culprit != report->caller && report->caller &&
           glimpse_take(&culprit, (const char *)report->culprit - 1) &&
           glimpse_take(&caller, (const char *)report->caller - 1) && culprit.bias != caller.bias;
}

/* Adds what another library than the calling one has done. */
static void add_culprit(struct text *text, const struct report *report) {
    symbol_add_library(text, report->culprit);
    text_add(text, (int)report->kind == REPAIR_moved       ? " attached a state that is not this thread's ("
                   : (int)report->kind == REPAIR_subinterp ? " attached a sub-interpreter's state ("
                                                           : " attached a state of its own (");
    text_add(text, report_call_name(report->culprit_call));
    text_add(text, " at ");
    symbol_add(text, report->culprit);
    text_add(text, " ");
    text_add_seconds(text, ticks_span_ns(ticks_between(report->culprit_time, report->now)), 6);
    text_add(text, " s ago); ");
}

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

/* Adds the first line, without colours. */
static void add_first(struct text *text, const struct report *report) {
    if (report->crash) {
        text_add(text, report_name(report->kind));
        text_add(text, ": ");
        report->crash_words->add_line(text, report->crash, report->tid, report->thread_name);
        return;
    }
    report_add_heading(text, report);
    bool names_repair = report->grade == REPORT_REPAIRED || report->grade == REPORT_WOULD_REPAIR;
    if (names_repair || report->grade == REPORT_GIL_ERROR) {
        text_add(text, report_name(report->kind));
        text_add(text, ": ");
    }
    bool is_others = has_other_culprit(report);
    if (report->culprit && (names_repair || !is_others)) {
        symbol_add_library(text, report->culprit);
        text_add(text, ": ");
    }
    if (is_others) {
        add_culprit(text, report);
    }
    if (report->finding) {
        report->finding_words->add_who(text, report);
    } else {
        add_who(text, report);
    }
    text_add(text, ": ");
    text_add(text, report_what(report->kind));
    if (report->finding) {
        report->finding_words->add_other(text, report);
    }
    if (report->reason[0]) {
        text_add(text, ": ");
        text_add(text, report->reason);
    }
    if ((int)report->kind == REPAIR_moved && pauses_gil_is_off()) {
        text_add(text,
                 ": with the GIL off CPython itself is not safe here, since the state's memory is that other thread's");
    }
    if (report->said[0]) {
        text_add(text, ": \"");
        text_add(text, report->said);
        text_add(text, "\"");
    }
    if (report->kind == REPORT_two_libpythons) {
        for (size_t i = 0; real_path(i); i++) {
            text_add(text, i ? ", " : ": ");
            text_add(text, real_path(i));
        }
    }
    add_states(text, report);
}

void report_put_first(const struct report *report) {
    char buffer[3400];
    struct text text = log_start(buffer, sizeof buffer);
    size_t prefix = text.length;
    bool has_color = log_has_color();
    if (has_color) {
        text_add(&text,
                 report->grade == REPORT_REPAIRED || report->grade == REPORT_WARNING ? "\033[33m" : "\033[1;31m");
    }
    add_first(&text, report);
    if (has_color) {
        text_add(&text, "\033[0m");
    }
    report_put(&text, prefix);
}

static struct text line_start(char *buffer, size_t size, const char *indent) {
    struct text text = log_start(buffer, size);
    text_add(&text, indent);
    return text;
}

static void put_line(const char *indent, const char *words) {
    char buffer[400];
    struct text text = line_start(buffer, sizeof buffer, indent);
    text_add(&text, words);
    log_text(&text);
}

void report_put_native_stack(const struct report *report) {
    char buffer[1600];
    if (report->frame_count) {
        put_line("  ", report->are_frames_guessed ? "native stack, guessed (what looks like return addresses):"
                                                  : "native stack:");
    }
    for (size_t i = 0; i < report->frame_count; i++) {
        struct text text = line_start(buffer, sizeof buffer, "    #");
        text_add_decimal(&text, i);
        text_add(&text, " ");
        symbol_add(&text, report->frames[i]);
        log_text(&text);
    }
}

static const char python_stack_follows[] = "Python stack (as CPython prints it):";

void report_put_python_stack(const char *stack, bool is_whole) {
    put_line("  ", python_stack_follows);
    size_t length = strlen(stack);
    log_bytes(stack, length);
    if (!is_whole) {
        log_bytes("\n", stack[length - 1] != '\n');
        put_line("    ", "the rest could not be read: its memory is corrupt");
    }
}

static void put_python_stack(PyThreadState *state) {
    char buffer[1600];
    put_line("  ", python_stack_follows);
    int fd = python_open_traceback(state);
    ssize_t size;
    while (fd >= 0 && (size = read(fd, buffer, sizeof buffer)) > 0) {
        log_bytes(buffer, (size_t)size);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void put_event(const struct report *report, const struct journal_event *event) {
    char buffer[1600];
    struct text text = line_start(buffer, sizeof buffer, "    ");
    text_add(&text, "-");
    text_add_seconds(&text, ticks_span_ns(ticks_between(event->time, report->now)), 6);
    text_add(&text, event->is_later ? " s or later: " : " s ");
    text_add(&text, journal_kind_name((enum journal_kind)event->kind));
    if (event->kind == JOURNAL_REPAIR || event->kind == JOURNAL_MISUSE) {
        text_add(&text, " ");
        text_add(&text, event->detail < REPORT_KINDS ? report_name((enum report_kind)event->detail) : "?");
    } else if (event->kind == JOURNAL_ENSURE || event->kind == JOURNAL_RELEASE) {
        text_add(&text, event->detail ? " (UNLOCKED)" : " (LOCKED)");
    } else if (event->call != JOURNAL_NO_CALL) {
        text_add(&text, " by ");
        text_add(&text, report_call_name(event->call));
    }
    if (event->state) {
        text_add(&text, " tstate ");
        text_add_hex(&text, (uintptr_t)event->state);
    }
    if (event->interp) {
        text_add(&text, " of interpreter ");
        text_add_hex(&text, (uintptr_t)event->interp);
    }
    if (event->caller) {
        text_add(&text, " from ");
        symbol_add(&text, event->caller);
    }
    if (ticks_span_ns(event->waited) >= JOURNAL_WAIT_NS) {
        text_add(&text, ", waited ");
        text_add_seconds(&text, ticks_span_ns(event->waited), 6);
        text_add(&text, " s");
    }
    log_text(&text);
}

enum { SHOWN_EVENTS = 16 };

static void put_events_of(const struct report *report, unsigned index) {
    struct journal_event events[SHOWN_EVENTS];
    struct journal_thread thread;
    unsigned torn;
    unsigned count = journal_read_thread(index, &thread) ? journal_read_events(index, events, SHOWN_EVENTS, &torn) : 0;
    if (!count) {
        return;
    }
    char buffer[300], name[sizeof thread.python_name];
    struct text text = line_start(buffer, sizeof buffer, "  last events of tid ");
    report_name_of(&thread, name);
    report_add_thread(&text, thread.tid, name);
    text_add(&text, thread.has_ended ? " (ended)" : "");
    text_add(&text, " (");
    text_add_decimal(&text, count);
    text_add(&text, " of ");
    text_add_decimal(&text, thread.events);
    text_add(&text, torn ? ", some were overwritten while they were read):" : "):");
    log_text(&text);
    for (unsigned i = 0; i < count; i++) {
        put_event(report, &events[i]);
    }
}

/* Writes the last events of the reporting thread, and of the threads that attached the states concerned. */
void report_put_events(const struct report *report) {
    int own = journal_find(report->tid);
    int shown = own;
    if (own >= 0) {
        put_events_of(report, (unsigned)own);
    }
    const PyThreadState *states[] = {report->state, report->other};
    for (int i = 0; i < 2; i++) {
        struct journal_event event;
        unsigned index;
        if (journal_find_attach(states[i], &event, &index) && (int)index != own && (int)index != shown) {
            put_events_of(report, index);
            shown = (int)index;
        }
    }
}

void report_put_advice(const struct report *report) {
    char buffer[400];
    struct text text = line_start(buffer, sizeof buffer, "  advice: ");
    text_add(&text, report->crash ? report->crash_words->advice(report->crash) : report_advice(report->kind));
    if ((int)report->kind < (int)REPAIR_COUNT && report->grade != REPORT_REPAIRED) {
        text_add(&text, "; mode=repair repairs it (");
        text_add(&text, report_name(report->kind));
        text_add(&text, ")");
    }
    log_text(&text);
}

void report_write_text(const struct report *report) {
    report_put_first(report);
    if (report->finding) {
        report->finding_words->put(report);
    }
    if (report->is_whole) {
        if (report->python_state) {
            put_python_stack(report->python_state);
        }
        report_put_native_stack(report);
        report_put_events(report);
        report_put_advice(report);
    }
}
