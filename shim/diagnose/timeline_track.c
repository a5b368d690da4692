#include "diagnose/timeline_track.h"

#include <errno.h> /* program_invocation_short_name */
#include <string.h>

#include "cpython/gil.h"
#include "cpython/real.h"
#include "diagnose/timeline_file.h"
#include "diagnose/timeline_gils.h"
#include "process/options.h"
#include "system/loader.h"
#include "system/symbol.h"
#include "system/ticks.h"

/* Number of the current file, counted from 1. */
static unsigned current_file = 1;

/* ---- pieces of a line ------------------------------------------------------------------------------------------- */

/* Returns the name of a caller. Finding it takes long, and there are few callers, so the names are kept. */
static const char *name_of(const void *caller) {
    enum { NAMES = 512 };
    static struct {
        const void *caller;
        unsigned closings;
        char name[256];
    } names[NAMES];
    unsigned closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
    size_t at = ((uintptr_t)caller >> 2) % NAMES;
    if (names[at].caller != caller || names[at].closings != closings) {
        struct text text = text_start(names[at].name, sizeof names[at].name);
        symbol_add(&text, caller);
        text_end(&text);
        names[at].caller = caller;
        names[at].closings = closings;
    }
    return names[at].name;
}

static void add_microseconds(struct text *text, uint64_t nanoseconds) {
    char digits[3] = {(char)('0' + nanoseconds / 100 % 10), (char)('0' + nanoseconds / 10 % 10),
                      (char)('0' + nanoseconds % 10)};
    text_add_decimal(text, nanoseconds / 1000);
    text_add(text, ".");
    text_add_span(text, digits, sizeof digits);
}

static void begin_line(struct text *text, const char *phase, pid_t tid, const char *name) {
    text_add(text, "{\"ph\":\"");
    text_add(text, phase);
    text_add(text, "\",\"pid\":");
    text_add_decimal(text, (uint64_t)timeline_file_pid());
    text_add(text, ",\"tid\":");
    text_add_decimal(text, (uint64_t)tid);
    text_add(text, ",\"name\":");
    timeline_add_string(text, name);
}

static void add_time(struct text *text, const char *key, uint64_t nanoseconds) {
    text_add(text, ",\"");
    text_add(text, key);
    text_add(text, "\":");
    add_microseconds(text, nanoseconds);
}

static void end_line(struct text *text) {
    text_add(text, "}");
    if (!timeline_file_add(text)) {
        current_file++;
    }
}

static const char *call_name(uint16_t call) {
    return call < REAL_API_COUNT ? real_api_names[call] : "?";
}

/* Adds ,"args":{"call":"PyGILState_Ensure","by":"libfoo.so!bar+0x12","state":"0x..","gil":2} */
static void add_arguments(struct text *text, uint16_t call, const void *caller, const void *state, int64_t gil) {
    text_add(text, ",\"args\":{\"call\":");
    timeline_add_string(text, call_name(call));
    if (caller) {
        text_add(text, ",\"by\":");
        timeline_add_string(text, name_of(caller));
    }
    if (state) {
        text_add(text, ",\"state\":\"");
        text_add_hex(text, (uintptr_t)state);
        text_add(text, "\"");
    }
    if (gil != GIL_NOT_TOLD) {
        text_add(text, ",\"gil\":");
        text_add_decimal(text, (uint64_t)gil);
    }
    text_add(text, "}");
}

static void add_metadata(pid_t tid, const char *what, const char *name) {
    char buffer[TIMELINE_LINE];
    struct text text = text_start(buffer, sizeof buffer);
    begin_line(&text, "M", tid, what);
    text_add(&text, ",\"args\":{\"name\":");
    timeline_add_string(&text, name);
    text_add(&text, "}");
    end_line(&text);
}

/* Writes the name of the track, once in each file, behind that of the process. */
static void add_name(struct timeline_track *track) {
    static unsigned process_named_in;
    if (process_named_in != current_file) {
        process_named_in = current_file;
        add_metadata(timeline_file_pid(), "process_name", program_invocation_short_name);
    }
    if (track->named_in != current_file) {
        track->named_in = current_file;
        add_metadata(track->tid, "thread_name", track->name);
    }
}

/* ---- spans ------------------------------------------------------------------------------------------------------ */

/* What a thread does in a span, with a GIL and without one. */
static const char *waits_for(void) {
    return timeline_gils_is_off() ? "waits for a pause" : "waits for the GIL";
}
static const char *holds(void) {
    return timeline_gils_is_off() ? "attached" : "holds the GIL";
}

/* "waits for the GIL of interpreter 2": viewers give each name a colour of its own. */
static const char *name_with_gil(char *buffer, size_t capacity, const char *before, int64_t gil, const char *after) {
    struct text text = text_start(buffer, capacity);
    text_add(&text, before);
    if (gil != GIL_NOT_TOLD) {
        text_add(&text, " of interpreter ");
        text_add_decimal(&text, (uint64_t)gil);
    }
    text_add(&text, after);
    return text_end(&text);
}

static void add_span(struct timeline_track *track, const char *name, uint64_t from, uint64_t to, uint16_t call,
                     const void *caller, const void *state, int64_t gil) {
    char buffer[TIMELINE_LINE];
    struct text text = text_start(buffer, sizeof buffer);
    add_name(track);
    begin_line(&text, "X", track->tid, name);
    text_add(&text, ",\"cat\":\"gil\"");
    add_time(&text, "ts", from);
    add_time(&text, "dur", to - from);
    add_arguments(&text, call, caller, state, gil);
    end_line(&text);
}

static void add_instant(struct timeline_track *track, const char *name, uint64_t time,
                        const struct journal_event *event) {
    char buffer[TIMELINE_LINE];
    struct text text = text_start(buffer, sizeof buffer);
    add_name(track);
    begin_line(&text, "i", track->tid, name);
    text_add(&text, ",\"cat\":\"gilshim\",\"s\":\"t\"");
    add_time(&text, "ts", time);
    add_arguments(&text, event->call, event->caller, event->state, GIL_NOT_TOLD);
    end_line(&text);
}

/* The span lies inside the hold by a nanosecond on each side: viewers then show it as nested, whatever the order of
 * lines. */
static void close_state(struct timeline_track *track, uint64_t time) {
    uint64_t from = track->state_since + 1;
    uint64_t to = time > from ? time - 1 : time;
    if (track->state && to > from) {
        add_span(track, "state attached", from, to, track->state_call, track->state_caller, track->state, track->gil);
    }
    track->state = NULL;
}

static void close_hold(struct timeline_track *track, uint64_t time) {
    char name[64];
    if (track->holds) {
        close_state(track, time);
        add_span(track, name_with_gil(name, sizeof name, holds(), track->gil, ""), track->hold_since, time,
                 track->hold_call, track->hold_caller, NULL, track->gil);
    }
    track->holds = false;
}

static void attach(struct timeline_track *track, const struct journal_event *event, uint64_t time) {
    uint64_t waited = ticks_span_ns(event->waited);
    uint64_t from = time - (waited < time ? waited : time);
    from = from > track->last_time ? from : track->last_time;
    int64_t gil = timeline_gils_of(event->interp);
    char name[64];
    if (track->holds && gil != track->gil && gil != GIL_NOT_TOLD && track->gil != GIL_NOT_TOLD) {
        close_hold(track, from); /* the call has released the one and taken the other */
    }
    track->gil = track->holds && gil == GIL_NOT_TOLD ? track->gil : gil;
    if (waited >= JOURNAL_WAIT_NS && from < time && !track->holds) {
        add_span(track, name_with_gil(name, sizeof name, waits_for(), gil, ""), from, time, event->call, event->caller,
                 event->state, gil);
    }
    if (track->holds) {
        close_state(track, time);
    } else {
        track->holds = true;
        track->hold_since = time;
        track->hold_call = event->call;
        track->hold_caller = event->caller;
    }
    track->state = event->state;
    track->state_caller = event->caller;
    track->state_call = event->call;
    track->state_since = time;
}

/* Returns true if the thread releases the GIL with this event. PyThreadState_Delete is noted like
 * PyThreadState_DeleteCurrent, but detaches nothing. */
static bool detaches(const struct journal_event *event) {
    switch ((enum journal_kind)event->kind) {
    case JOURNAL_DETACH:
    case JOURNAL_INTERPRETER_ENDS: return true;
    case JOURNAL_RELEASE: return event->detail != 0;
    case JOURNAL_DELETE: return event->call == REAL_INDEX_PyThreadState_DeleteCurrent;
    case JOURNAL_FINALIZE: return event->detail == 1;
    case JOURNAL_SWAP: return event->state == NULL;
    default: return false;
    }
}

static bool attaches(const struct journal_event *event) {
    switch ((enum journal_kind)event->kind) {
    case JOURNAL_ATTACH:
    case JOURNAL_INTERPRETER_MADE: return true;
    case JOURNAL_ENSURE: return event->detail != 0;
    case JOURNAL_SWAP:
    case JOURNAL_INITIALIZE: return event->state != NULL;
    default: return false;
    }
}

void timeline_track_event(struct timeline_track *track, const struct journal_event *event) {
    uint64_t time = ticks_to_ns(event->time);
    time = time > track->last_time ? time : track->last_time;
    track->foretold_caller = event->kind == JOURNAL_MISUSE ? event->caller : NULL;
    if (event->kind == JOURNAL_REPAIR || event->kind == JOURNAL_MISUSE) {
        char name[64];
        struct text text = text_start(name, sizeof name);
        text_add(&text, event->kind == JOURNAL_REPAIR ? "repaired " : "misuse");
        if (event->kind == JOURNAL_REPAIR && event->detail < REPAIR_COUNT) {
            text_add(&text, options_repair_name((enum repair)event->detail));
        }
        add_instant(track, text_end(&text), time, event);
    } else if (attaches(event)) {
        attach(track, event, time);
    } else if (detaches(event)) {
        close_hold(track, time);
    }
    track->last_time = time;
}

void timeline_track_dropped(struct timeline_track *track, uint64_t count, uint64_t time) {
    char buffer[TIMELINE_LINE];
    struct text text = text_start(buffer, sizeof buffer);
    time = time > track->last_time ? time : track->last_time;
    close_hold(track, track->last_time);
    add_name(track);
    begin_line(&text, "X", track->tid, "dropped");
    text_add(&text, ",\"cat\":\"gilshim\"");
    add_time(&text, "ts", track->last_time);
    add_time(&text, "dur", time - track->last_time);
    track->last_time = time;
    text_add(&text, ",\"args\":{\"events\":");
    text_add_decimal(&text, count);
    text_add(&text, "}");
    end_line(&text);
}

void timeline_track_waits(struct timeline_track *track, const struct journal_now *now, uint64_t time) {
    uint64_t from = ticks_to_ns(now->since);
    int64_t gil = timeline_gils_of_state(now->state);
    char name[64];
    from = from > track->last_time ? from : track->last_time;
    if (time <= from) {
        return;
    }
    if (track->holds && track->foretold_caller == now->caller) { /* inside the state, by a nanosecond */
        from = from > track->state_since + 1 ? from : track->state_since + 2;
        if (time > from + 2) {
            add_span(track, name_with_gil(name, sizeof name, "deadlock: waits for the GIL", gil, ", as foretold"), from,
                     time - 2, now->call, now->caller, now->state, gil);
        }
        return;
    }
    close_hold(track, from); /* the thread released it in CPython's own loop */
    add_span(track, name_with_gil(name, sizeof name, waits_for(), gil, ", to the end"), from, time, now->call,
             now->caller, now->state, gil);
    track->last_time = time;
}

void timeline_track_end(struct timeline_track *track, uint64_t time) {
    close_hold(track, time > track->last_time ? time : track->last_time);
}

void timeline_track_name(struct timeline_track *track, const struct journal_thread *thread) {
    char name[sizeof track->name];
    struct text text = text_start(name, sizeof name);
    text_add(&text, thread->python_name[0] ? thread->python_name : thread->name);
    text_end(&text);
    if (strcmp(track->name, name) != 0) {
        memcpy(track->name, name, sizeof name);
        track->named_in = 0;
    }
}
