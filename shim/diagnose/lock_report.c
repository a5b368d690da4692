#include "diagnose/lock_report.h"

#include <string.h>

#include "diagnose/held_locks.h"
#include "diagnose/lock_finding.h"
#include "diagnose/report_detail.h"
#include "journal/journal.h"
#include "process/log.h"
#include "system/json.h"
#include "system/symbol.h"
#include "system/symbol_json.h"
#include "system/thread.h"

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

/* Adds a thread, which may have ended: its record has its name then. */
static void add_thread(struct text *text, uint32_t tid) {
    struct journal_thread thread;
    char name[sizeof thread.python_name] = "";
    unsigned count = journal_count();
    bool is_found = false;
    for (unsigned i = 0; i < count && !is_found; i++) {
        if (journal_read_thread(i, &thread) && (uint32_t)thread.tid == tid) {
            report_name_of(&thread, name);
            is_found = true;
        }
    }
    if (!is_found) {
        thread_read_name((pid_t)tid, name);
    }
    text_add(text, "tid ");
    report_add_thread(text, (pid_t)tid, name);
}

static const char *kind_name(unsigned kind) {
    static const char *const names[] = {[LOCK_MUTEX] = "mutex",
                                        [LOCK_READ] = "rwlock",
                                        [LOCK_WRITE] = "rwlock",
                                        [LOCK_ONCE] = "pthread_once",
                                        [LOCK_GUARD] = "guard of a static variable"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "lock";
}

/* Adds a lock: mutex 0x7f... (libstore.so!registry_lock). */
static void add_lock(struct text *text, const void *lock, unsigned kind) {
    if (!lock) {
        text_add(text, "the GIL");
        return;
    }
    text_add(text, kind_name(kind));
    text_add(text, " ");
    text_add_hex(text, (uintptr_t)lock);
    char name[700];
    struct text object = text_start(name, sizeof name);
    if (symbol_add_data(&object, lock)) {
        text_add(text, " (");
        text_add(text, text_end(&object));
        text_add(text, ")");
    }
}

static void add_wait_site(struct text *text, const struct lock_step *step) {
    if (!step->second) {
        text_add(text, report_call_name(step->seen.call));
        text_add(text, " ");
    }
    text_add(text, "by ");
    symbol_add(text, step->seen.site);
}

/* Adds a call that waits, and for how long it did. */
static void add_wait(struct text *text, const struct report *report) {
    const struct lock_finding *finding = report->finding;
    text_add(text, finding->waits_in);
    text_add(text, " by ");
    symbol_add(text, report->caller);
    text_add(text, " on ");
    add_thread(text, finding->waits_tid);
    if (finding->waited_ns && !finding->needs_tid) {
        text_add(text, " for ");
        text_add_seconds(text, finding->waited_ns, 3);
        text_add(text, " s");
    }
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void tell_add_who(struct text *text, const struct report *report) {
    const struct lock_finding *finding = report->finding;
    if (!finding->count) {
        add_wait(text, report);
        return;
    }
    const struct lock_step *last = &finding->steps[finding->count - 1];
    add_wait_site(text, last);
    text_add(text, " on ");
    add_thread(text, last->seen.tid);
    text_add(text, " with ");
    add_lock(text, last->first, last->first_kind);
}

static void tell_add_other(struct text *text, const struct report *report) {
    const struct lock_finding *finding = report->finding;
    if (finding->count) {
        const struct lock_step *first = &finding->steps[0];
        text_add(text, ": ");
        symbol_add(text, first->seen.site);
        text_add(text, " on ");
        add_thread(text, first->seen.tid);
        text_add(text, finding->count > 2 ? " waits for a lock before it" : " waits for it");
        text_add(text, " with the GIL");
    } else if (finding->needs_tid) {
        text_add(text, ": ");
        add_thread(text, finding->needs_tid);
        text_add(text, finding->is_joined ? ", which it joins, is in " : " is in ");
        text_add(text, report_call_name(finding->needs_call));
        text_add(text, " by ");
        symbol_add(text, finding->needs_site);
    }
}

static void put_step(const struct lock_step *step, unsigned number) {
    char buffer[3000];
    struct text text = log_start(buffer, sizeof buffer);
    text_add(&text, "  order ");
    text_add_decimal(&text, number);
    text_add(&text, ": ");
    add_thread(&text, step->seen.tid);
    text_add(&text, (step->seen.state & LOCK_MANY) ? " and others" : "");
    text_add(&text, ": ");
    add_lock(&text, step->first, step->first_kind);
    if (step->seen.held_site) {
        text_add(&text, " taken by ");
        symbol_add(&text, step->seen.held_site);
    }
    text_add(&text, ", then ");
    add_lock(&text, step->second, step->second_kind);
    text_add(&text, step->second ? " " : " in ");
    add_wait_site(&text, step);
    log_text(&text);
}

static void tell_put(const struct report *report) {
    for (unsigned i = 0; i < report->finding->count; i++) {
        put_step(&report->finding->steps[i], i + 1);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void add_lock_json(struct json *json, const char *key, const void *lock, unsigned kind) {
    char buffer[900];
    struct text text = text_start(buffer, sizeof buffer);
    add_lock(&text, lock, kind);
    json_string(json, key, text_end(&text));
}

static void add_step(struct json *json, const struct lock_step *step) {
    if (!json_open(json, NULL, '{')) {
        return;
    }
    json_number(json, "tid", step->seen.tid);
    add_lock_json(json, "first", step->first, step->first_kind);
    symbol_json(json, "first_by", step->seen.held_site);
    add_lock_json(json, "second", step->second, step->second_kind);
    symbol_json(json, "second_by", step->seen.site);
    json_close(json, '}');
}

static void tell_add_json(struct json *json, const struct report *report) {
    const struct lock_finding *finding = report->finding;
    if (finding->count && json_open(json, "orders", '[')) {
        for (unsigned i = 0; i < finding->count; i++) {
            add_step(json, &finding->steps[i]);
        }
        json_close(json, ']');
    }
    if (finding->waits_in) {
        json_string(json, "waits_in", finding->waits_in);
        json_number(json, "waits_tid", finding->waits_tid);
        json_seconds(json, "waited", finding->waited_ns);
    }
    if (finding->needs_tid) {
        json_number(json, "needs_tid", finding->needs_tid);
        json_string(json, "needs_call", report_call_name(finding->needs_call));
        symbol_json(json, "needs_by", finding->needs_site);
        json_bool(json, "is_joined", finding->is_joined);
    }
}

const struct finding_words lock_report_words = {tell_add_who, tell_add_other, tell_put, tell_add_json};
