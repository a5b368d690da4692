#include "diagnose/summary.h"

#include <string.h>

#include "cpython/interp.h"
#include "cpython/pauses.h"
#include "cpython/real.h"
#include "diagnose/call_sites.h"
#include "diagnose/report.h"
#include "diagnose/suppress.h"
#include "journal/journal.h"
#include "journal/modules.h"
#include "process/options.h"
#include "process/process_exit.h"
#include "system/symbol.h"
#include "system/ticks.h"

static unsigned states_made, states_deleted;

void summary_count_made(void) {
    __atomic_add_fetch(&states_made, 1, __ATOMIC_RELAXED);
}

void summary_count_deleted(void) {
    __atomic_add_fetch(&states_deleted, 1, __ATOMIC_RELAXED);
}

/* ---- lines of at most 80 columns --------------------------------------------------------------------------------- */

enum { COLUMNS = 80, LABEL = 15 };

struct line {
    char buffer[2000];
    struct text text;
};

static void start(struct line *line, const char *label) {
    line->text = log_start(line->buffer, sizeof line->buffer);
    text_add(&line->text, "  ");
    text_add(&line->text, label);
}

static void pad_to(struct line *line, size_t start_length, size_t column) {
    while (line->text.length < start_length + column) {
        text_add(&line->text, " ");
    }
}

static void put(struct line *line) {
    log_text(&line->text);
}

/* Adds a piece. Starts a new line, indented to `column`, if the piece does not fit after what is there from `column`
 * on. */
static void add_piece(struct line *line, const char *piece, size_t length, size_t column) {
    if (line->text.length + length > COLUMNS && line->text.length > column) {
        line->text.length -= line->buffer[line->text.length - 1] == ' ';
        put(line);
        start(line, "");
        pad_to(line, 0, column);
    }
    text_add_span(&line->text, piece, length);
}

/* Writes all of the string, in more lines if needed. Breaks it after spaces, and breaks a word that is longer than a
 * line before any of `breaks`. */
static void put_wrapped(struct line *line, const char *string, const char *breaks) {
    size_t column = line->text.length;
    while (*string) {
        size_t length = strcspn(string, " ");
        const char *end = string + length;
        if (column + length <= COLUMNS) {
            add_piece(line, string, length, column);
            string = end;
        }
        while (string < end) {
            size_t part = 1 + strcspn(string + 1, breaks);
            part = string + part < end ? part : (size_t)(end - string);
            add_piece(line, string, part, column);
            string += part;
        }
        if (*string) {
            text_add(&line->text, " ");
            string++;
        }
    }
    put(line);
}

static void add_right(struct text *text, const char *string, size_t width) {
    for (size_t length = strlen(string); length < width; length++) {
        text_add(text, " ");
    }
    text_add(text, string);
}

static void add_count(struct text *text, uint64_t number, size_t width) {
    char buffer[24];
    struct text digits = text_start(buffer, sizeof buffer);
    if (number >= 10000000) {
        text_add_decimal(&digits, number / 1000000);
        text_add(&digits, "M");
    } else {
        text_add_decimal(&digits, number);
    }
    add_right(text, text_end(&digits), width);
}

/* Adds a time in at most six characters: 12ns, 3.4us, 120ms, 12.5s, 4000s. */
static void add_time(struct text *text, uint64_t ns, size_t width) {
    static const struct {
        uint64_t unit;
        const char *name;
    } units[] = {{1, "ns"}, {1000, "us"}, {1000000, "ms"}, {1000000000, "s"}};
    char buffer[24];
    struct text digits = text_start(buffer, sizeof buffer);
    size_t i = 0;
    while (i < 3 && ns >= units[i + 1].unit) {
        i++;
    }
    text_add_decimal(&digits, ns / units[i].unit);
    if (i && ns / units[i].unit < 100) {
        text_add(&digits, ".");
        text_add_decimal(&digits, ns % units[i].unit * 10 / units[i].unit);
    }
    text_add(&digits, units[i].name);
    add_right(text, text_end(&digits), width);
}

/* ---- text ---------------------------------------------------------------------------------------------------------- */

static void put_heading(void) {
    struct line line;
    line.text = log_start(line.buffer, sizeof line.buffer);
    bool has_color = log_has_color();
    text_add(&line.text, has_color ? "\033[1msummary\033[0m" : "summary");
    put(&line);
}

/* Without a GIL a thread takes none, but attaches its state. */
static bool is_without_gil(void) {
    return pauses_gil_at_end() == PAUSES_GIL_OFF;
}

static void put_interpreter(void) {
    char described[700];
    struct text text = text_start(described, sizeof described);
    interp_describe(&text);
    text_add(&text, is_without_gil() ? ", GIL off" : pauses_gil_at_end() == PAUSES_GIL_ON ? ", GIL on" : "");
    struct line line;
    start(&line, "interpreter  ");
    put_wrapped(&line, text_end(&text), "/");
    start(&line, "functions    ");
    text_add_decimal(&line.text, real_status.bound);
    text_add(&line.text, " intercepted, ");
    text_add_decimal(&line.text, real_status.missing);
    text_add(&line.text, " not in this version");
    put(&line);
}

/* Adds the place of a site. Its library may have been closed, and another one may be at its address. */
static void add_site(struct text *text, const struct site *site) {
    const char *module = modules_name((unsigned)(site->place >> MODULE_PLACE_BITS));
    if (!module || modules_place(site->caller) == site->place) {
        symbol_add(text, site->caller);
    } else {
        text_add(text, module);
        text_add(text, "!+");
        text_add_hex(text, site->place & (((uintptr_t)1 << MODULE_PLACE_BITS) - 1));
    }
}

static void put_sites_of(unsigned kind) {
    struct site site;
    for (unsigned index = 0; call_sites_next(&index, &site);) {
        if (site.kind != kind) {
            continue;
        }
        struct line line;
        start(&line, "  ");
        add_count(&line.text, site.count, 9);
        text_add(&line.text, "  ");
        char place[1500];
        struct text text = text_start(place, sizeof place);
        add_site(&text, &site);
        text_add(&text, site.verdict >= SUPPRESS_RULE ? " (suppressed)" : "");
        put_wrapped(&line, text_end(&text), "!");
    }
}

static void put_kinds(void) {
    bool is_any = false;
    for (unsigned kind = 0; kind < REPORT_KINDS; kind++) {
        uint32_t total = call_sites_total(kind);
        if (!total) {
            continue;
        }
        is_any = true;
        struct line line;
        bool is_repair = kind < REPAIR_COUNT;
        start(&line, !is_repair ? "seen         " : options.mode == MODE_REPAIR ? "repaired     " : "to repair    ");
        text_add(&line.text, report_name((enum report_kind)kind));
        text_add(&line.text, ": ");
        text_add_decimal(&line.text, total);
        put(&line);
        put_sites_of(kind);
    }
    if (!is_any) {
        struct line line;
        start(&line, "repaired     nothing");
        put(&line);
    }
}

/* Returns the totals including the waits and holds that still go on: a library that never releases the GIL has held it
 * all the time. */
static struct journal_totals totals_now(unsigned module) {
    struct journal_totals totals = *modules_totals(module);
    uint64_t now = ticks_now();
    struct journal_thread thread;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (!journal_read_thread(i, &thread) || thread.has_ended || !thread.now.caller ||
            thread.now.phase == JOURNAL_OUTSIDE || modules_of(thread.now.caller) != module) {
            continue;
        }
        uint64_t span = ticks_between(thread.now.since, now);
        bool holds = thread.now.phase == JOURNAL_HOLDS;
        uint64_t *longest = holds ? &totals.hold_longest : &totals.wait_longest;
        *(holds ? &totals.hold_total : &totals.wait_total) += span;
        *(holds ? &totals.holds : &totals.waits) += 1;
        *longest = span > *longest ? span : *longest;
    }
    return totals;
}

static bool has_totals(const struct journal_totals *totals) {
    return totals->acquisitions || totals->waits || totals->holds;
}

static void put_modules(void) {
    struct line line;
    start(&line, is_without_gil() ? "module         attached waits waited  worst   kept  worst"
                                  : "module            taken waits waited  worst   held  worst");
    bool is_first = true;
    for (unsigned module = 0; module < MODULE_COUNT; module++) {
        const char *name = modules_name(module);
        struct journal_totals now = totals_now(module);
        const struct journal_totals *totals = &now;
        if (!name || !has_totals(totals)) {
            continue;
        }
        if (is_first) {
            put(&line);
            is_first = false;
        }
        start(&line, "");
        size_t begin = line.text.length;
        text_add(&line.text, name);
        if (line.text.length > begin + 15) { /* the whole name, on a line of its own */
            put(&line);
            start(&line, "");
            begin = line.text.length;
        }
        pad_to(&line, begin, 15);
        add_count(&line.text, totals->acquisitions, 8);
        add_count(&line.text, totals->waits, 6);
        add_time(&line.text, ticks_span_ns(totals->wait_total), 7);
        add_time(&line.text, ticks_span_ns(totals->wait_longest), 7);
        add_time(&line.text, ticks_span_ns(totals->hold_total), 7);
        add_time(&line.text, ticks_span_ns(totals->hold_longest), 7);
        put(&line);
    }
}

struct left {
    unsigned seen, alive, holding, waiting;
};

static struct left count_left(void) {
    struct left left = {0, 0, 0, 0};
    struct journal_thread thread;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (!journal_read_thread(i, &thread)) {
            continue;
        }
        left.alive += !thread.has_ended;
        left.holding += !thread.has_ended && thread.now.phase == JOURNAL_HOLDS;
        left.waiting += !thread.has_ended && thread.now.phase == JOURNAL_WAITS;
    }
    left.seen = journal_seen();
    return left;
}

static void put_left(void) {
    struct left left = count_left();
    struct line line;
    start(&line, "threads      ");
    text_add_decimal(&line.text, left.seen);
    text_add(&line.text, " seen, ");
    text_add_decimal(&line.text, left.alive);
    text_add(&line.text, " alive");
    if (left.holding || left.waiting) {
        text_add(&line.text, " (");
        text_add_decimal(&line.text, left.holding);
        text_add(&line.text, is_without_gil() ? " attached, " : " with the GIL, ");
        text_add_decimal(&line.text, left.waiting);
        text_add(&line.text, " waiting)");
    }
    put(&line);
    start(&line, "states       ");
    text_add_decimal(&line.text, states_made);
    text_add(&line.text, " made by PyThreadState_New, ");
    text_add_decimal(&line.text, states_deleted);
    text_add(&line.text, " deleted");
    put(&line);
}

static void put_suppressions(void) {
    char buffer[400];
    struct text text = text_start(buffer, sizeof buffer);
    for (unsigned index = 0; suppress_next_matched(&index, &text); text = text_start(buffer, sizeof buffer)) {
        char whole[440];
        struct text line = text_start(whole, sizeof whole);
        text_add(&line, "suppressed ");
        text_add(&line, text_end(&text));
        log_line(text_end(&line));
    }
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------- */

static void add_sites(struct json *json) {
    struct site site;
    if (!json_open(json, "sites", '[')) {
        return;
    }
    for (unsigned index = 0; call_sites_next(&index, &site);) {
        char place[1500];
        struct text text = text_start(place, sizeof place);
        add_site(&text, &site);
        if (json_open(json, NULL, '{')) {
            json_string(json, "name", report_name((enum report_kind)site.kind));
            json_string(json, "caller", site.caller ? text_end(&text) : NULL);
            json_number(json, "count", site.count);
            json_bool(json, "suppressed", site.verdict >= SUPPRESS_RULE);
            json_close(json, '}');
        }
    }
    json_close(json, ']');
}

static void add_modules(struct json *json) {
    if (!json_open(json, "modules", '[')) {
        return;
    }
    for (unsigned module = 0; module < MODULE_COUNT; module++) {
        const char *name = modules_name(module);
        struct journal_totals now = totals_now(module);
        const struct journal_totals *totals = &now;
        if (name && has_totals(totals) && json_open(json, NULL, '{')) {
            json_string(json, "module", name);
            json_number(json, "acquisitions", totals->acquisitions);
            json_number(json, "waits", totals->waits);
            json_seconds(json, "waited", ticks_span_ns(totals->wait_total));
            json_seconds(json, "longest_wait", ticks_span_ns(totals->wait_longest));
            json_number(json, "holds", totals->holds);
            json_seconds(json, "held", ticks_span_ns(totals->hold_total));
            json_seconds(json, "longest_hold", ticks_span_ns(totals->hold_longest));
            json_close(json, '}');
        }
    }
    json_close(json, ']');
}

static void put_json(void) {
    static char buffer[32768];
    char described[700];
    struct text text = text_start(described, sizeof described);
    interp_describe(&text);
    struct json json = log_json(buffer, sizeof buffer, "summary");
    struct left left = count_left();
    json_string(&json, "interpreter", text_end(&text));
    if (interp_is_free_threaded) {
        json_bool(&json, "gil_off", is_without_gil());
    }
    json_number(&json, "functions_bound", real_status.bound);
    json_number(&json, "threads_seen", left.seen);
    json_number(&json, "threads_left", left.alive);
    json_number(&json, "threads_unrecorded", journal_unrecorded());
    json_number(&json, "states_made", states_made);
    json_number(&json, "states_deleted", states_deleted);
    add_sites(&json);
    add_modules(&json);
    text = json_end(&json);
    log_text(&text);
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

static void tell_summary(void) {
    if (!real_is_served()) {
        return;
    }
    if (options.summary && options.log_format == LOG_JSON) {
        put_json();
    } else if (options.summary) {
        put_heading();
        put_interpreter();
        put_kinds();
        put_modules();
        put_left();
    }
    put_suppressions();
}

static int status_of_end(void) {
    return report_count() && options.exitcode != EXITCODE_NONE ? options.exitcode : -1;
}

void summary_prepare(void) {
    if (options.mode == MODE_OFF) {
        return;
    }
    if (options.summary || options.suppressions[0]) {
        process_exit_call(tell_summary);
    }
    if (options.exitcode != EXITCODE_NONE) {
        process_exit_replaces_status(status_of_end);
    }
}
