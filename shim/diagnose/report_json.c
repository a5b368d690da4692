#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/python.h"
#include "cpython/real.h"
#include "diagnose/report_detail.h"
#include "journal/journal.h"
#include "system/symbol.h"
#include "system/symbol_json.h"
#include "system/ticks.h"

static void add_event(struct json *json, const struct report *report, const struct journal_event *event) {
    if (!json_open(json, NULL, '{')) {
        return;
    }
    json_number(json, "number", event->number);
    json_seconds(json, event->is_later ? "ago_at_most" : "ago", ticks_span_ns(ticks_between(event->time, report->now)));
    json_string(json, "event", journal_kind_name((enum journal_kind)event->kind));
    if (event->kind == JOURNAL_REPAIR || event->kind == JOURNAL_MISUSE) {
        json_string(json, "name", event->detail < REPORT_KINDS ? report_name((enum report_kind)event->detail) : NULL);
    } else if (event->kind == JOURNAL_ENSURE || event->kind == JOURNAL_RELEASE) {
        json_string(json, "gilstate", event->detail ? "UNLOCKED" : "LOCKED");
    }
    if (event->call != JOURNAL_NO_CALL) {
        json_string(json, "call", report_call_name(event->call));
    }
    json_hex(json, "tstate", (uintptr_t)event->state);
    json_hex(json, "interp", (uintptr_t)event->interp);
    symbol_json(json, "caller", event->caller);
    json_seconds(json, "waited", ticks_span_ns(event->waited));
    json_close(json, '}');
}

enum { SHOWN_EVENTS = 16 };

static void add_thread(struct json *json, const struct report *report, unsigned index) {
    struct journal_event events[SHOWN_EVENTS];
    struct journal_thread thread;
    char name[sizeof thread.python_name];
    unsigned torn;
    if (!journal_read_thread(index, &thread) || !json_open(json, NULL, '{')) {
        return;
    }
    unsigned count = journal_read_events(index, events, SHOWN_EVENTS, &torn);
    json_number(json, "tid", (uint64_t)thread.tid);
    report_name_of(&thread, name);
    json_string(json, "thread", name);
    json_bool(json, "ended", thread.has_ended);
    json_number(json, "events_seen", thread.events);
    json_number(json, "events_torn", torn);
    if (json_open(json, "events", '[')) {
        for (unsigned i = 0; i < count; i++) {
            add_event(json, report, &events[i]);
        }
        json_close(json, ']');
    }
    json_close(json, '}');
}

static void add_threads(struct json *json, const struct report *report) {
    if (!json_open(json, "threads", '[')) {
        return;
    }
    int own = journal_find(report->tid);
    if (own >= 0) {
        add_thread(json, report, (unsigned)own);
    }
    const PyThreadState *states[] = {report->state, report->other};
    int shown = own;
    for (int i = 0; i < 2; i++) {
        struct journal_event event;
        unsigned index;
        if (journal_find_attach(states[i], &event, &index) && (int)index != own && (int)index != shown) {
            add_thread(json, report, index);
            shown = (int)index;
        }
    }
    json_close(json, ']');
}

static void add_states(struct json *json, const struct report *report) {
    const PyThreadState *states[] = {report->state, report->other};
    if (!json_open(json, "states", '[')) {
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct journal_event event;
        struct journal_thread thread;
        unsigned index;
        if (!states[i] || (i && states[i] == states[0]) || !json_open(json, NULL, '{')) {
            continue;
        }
        json_hex(json, "tstate", (uintptr_t)states[i]);
        bool is_moved = (int)report->kind == REPAIR_moved && i == 0;
        bool is_found = is_moved ? journal_find_attach_by_others(report->tid, states[i], &event, &index)
                                 : journal_find_attach(states[i], &event, &index);
        if (is_found && journal_read_thread(index, &thread)) {
            json_number(json, "tid", (uint64_t)thread.tid);
            json_string(json, "call", report_call_name(event.call));
            symbol_json(json, "caller", event.caller);
            json_seconds(json, "ago", ticks_span_ns(ticks_between(event.time, report->now)));
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void add_python_stack(struct json *json, const struct report *report) {
    char text[4000];
    int fd = report->python_state ? python_open_traceback(report->python_state) : -1;
    if (fd < 0) {
        return;
    }
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    json_string(json, "python_stack", text);
}

void report_write_json(const struct report *report) {
    static const char *const grades[] = {
        [REPORT_REPAIRED] = "repair",
        [REPORT_WOULD_REPAIR] = "would_repair",
        [REPORT_DEADLOCK_FOLLOWS] = "deadlock",
        [REPORT_FATAL_FOLLOWS] = "misuse",
        [REPORT_FATAL] = "fatal",
        [REPORT_WARNING] = "warning",
        [REPORT_GIL_ERROR] = "gil_error",
    };
    char buffer[32768];
    struct json json = log_json(buffer, sizeof buffer, grades[report->grade]);
    json_string(&json, "name", report_name(report->kind));
    json_string(&json, "what", report_what(report->kind));
    if (report->reason[0]) {
        json_string(&json, "reason", report->reason);
    }
    if (report->said[0]) {
        json_string(&json, "said", report->said);
    }
    if (report->tid != (pid_t)syscall(SYS_gettid)) {
        json_number(&json, "of_tid", (uint64_t)report->tid);
    }
    json_string(&json, "thread", report->thread_name);
    if (report->crash) {
        report->crash_words->add_json(&json, report->crash);
    }
    json_string(&json, "call", report->call);
    char module[200];
    struct text text = text_start(module, sizeof module);
    symbol_add_object(&text, report->caller);
    json_string(&json, "module", text_end(&text));
    symbol_json(&json, "caller", report->caller);
    text = text_start(module, sizeof module);
    symbol_add_library(&text, report->culprit);
    json_string(&json, "culprit", report->culprit ? text_end(&text) : NULL);
    symbol_json(&json, "culprit_place", report->culprit);
    add_states(&json, report);
    if (report->kind == REPORT_two_libpythons && json_open(&json, "libpythons", '[')) {
        for (size_t i = 0; real_path(i); i++) {
            json_string(&json, NULL, real_path(i));
        }
        json_close(&json, ']');
    }
    if (report->finding) {
        report->finding_words->add_json(&json, report);
    }
    json_string(&json, "advice",
                report->crash ? report->crash_words->advice(report->crash) : report_advice(report->kind));
    if (report->is_whole) {
        if (report->python_stack && report->python_stack[0]) {
            json_string(&json, "python_stack", report->python_stack);
        }
        add_python_stack(&json, report);
        if (report->frame_count && json_open(&json, "native_stack", '[')) {
            for (size_t i = 0; i < report->frame_count; i++) {
                symbol_json(&json, NULL, report->frames[i]);
            }
            json_close(&json, ']');
            json_bool(&json, "native_stack_guessed", report->are_frames_guessed);
        }
        add_threads(&json, report);
    }
    text = json_end(&json);
    report_put(&text, 0);
}
