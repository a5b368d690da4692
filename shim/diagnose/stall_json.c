#include "diagnose/stall_json.h"

#include <string.h>

#include "cpython/gil.h"
#include "cpython/pystack.h"
#include "cpython/real.h"
#include "process/log.h"
#include "system/symbol.h"
#include "system/symbol_json.h"

static void add_library(struct json *json, const void *address) {
    char buffer[400];
    struct text text = text_start(buffer, sizeof buffer);
    symbol_add_library(&text, address);
    json_string(json, "library", address ? text_end(&text) : "CPython");
}

/* The interpreter that it was made for; nothing if there is one GIL only, or none. */
static void add_gil(struct json *json, int64_t gil) {
    if (gil >= 0) {
        json_number(json, "gil", (uint64_t)gil);
    }
}

static void add_call(struct json *json, const struct thread_look *look) {
    char buffer[64];
    struct text text = text_start(buffer, sizeof buffer);
    thread_add_call(&text, look->call);
    json_string(json, "system_call", look->call >= 0 ? text_end(&text) : NULL);
}

static void add_stack(struct json *json, const struct stack *stack) {
    static const char *const sources[] = {[STACK_NONE] = "none", [STACK_TAKEN] = "taken", [STACK_GUESSED] = "guessed"};
    json_string(json, "native_stack_is", sources[stack->source]);
    if (json_open(json, "native_stack", '[')) {
        for (size_t i = 0; i < stack->count; i++) {
            symbol_json(json, NULL, stack->frames[i]);
        }
        json_close(json, ']');
    }
}

void stall_json_python_stack(struct json *json, const void *state) {
    static char dump[8192];
    const char *reason = pystack_take((PyThreadState *)state, dump, sizeof dump);
    if (reason) {
        json_string(json, "no_python_stack", reason);
        return;
    }
    if (!json_open(json, "python_stack", '[')) {
        return;
    }
    char *rest = dump;
    for (char *line; (line = strsep(&rest, "\n"));) {
        line += strspn(line, " ");
        if (*line && strncmp(line, "Stack (", 7) != 0) {
            json_string(json, NULL, line);
        }
    }
    json_close(json, ']');
}

static void add_waiter(struct json *json, const struct picture *picture, size_t index, uint64_t now) {
    const struct waiter *waiter = &picture->waiters[index];
    const void *place = wait_graph_place_of_waiter(picture, index);
    json_number(json, "tid", (uint64_t)waiter->tid);
    add_gil(json, waiter->gil);
    json_string(json, "thread", waiter->python_name[0] ? waiter->python_name : waiter->name);
    if (!waiter->is_timeless) {
        json_seconds(json, "waited", now > waiter->since ? now - waiter->since : 0);
    }
    json_string(json, "call", waiter->call < REAL_API_COUNT ? real_api_names[waiter->call] : NULL);
    json_bool(json, "in_cpython_loop", waiter->is_unseen);
    add_library(json, place);
    symbol_json(json, "place", place);
}

static void add_holder(struct json *json, const struct picture *picture, bool is_repeated) {
    const struct party *holding = &picture->holding;
    const void *place = wait_graph_place_of_holder(picture);
    json_number(json, "tid", (uint64_t)picture->holder.tid);
    json_string(json, "thread",
                picture->has_record && picture->record.python_name[0] ? picture->record.python_name
                                                                      : holding->look.name);
    json_hex(json, "tstate", (uintptr_t)picture->holder.state);
    add_gil(json, picture->gil);
    add_library(json, place);
    symbol_json(json, "place", place);
    add_call(json, &holding->look);
    json_bool(json, "waits_for_mutex", holding->wait == THREAD_WAITS_MUTEX);
    json_bool(json, "waits_for_end", holding->wait == THREAD_WAITS_THREAD);
    json_number(json, "waits_for_tid", (uint64_t)holding->awaited);
    if (!is_repeated) {
        add_stack(json, &holding->stack);
        stall_json_python_stack(json, picture->holder.state);
    }
}

static void add_steps(struct json *json, const struct picture *picture) {
    static const char *const ways[] = {
        [BLOCKED_ITSELF] = "itself", [BLOCKED_BY_MUTEX] = "mutex", [BLOCKED_BY_JOIN] = "join"};
    for (size_t i = 0; i < picture->step_count && json_open(json, NULL, '{'); i++) {
        const struct step *step = &picture->steps[i];
        add_gil(json, step->gil);
        json_number(json, "holder_tid", (uint64_t)step->holder.tid);
        symbol_json(json, "holder_place", step->place);
        json_string(json, "holder_waits_by", ways[step->by]);
        json_number(json, "waiter_tid", (uint64_t)step->waiter.tid);
        symbol_json(json, "waiter_place", step->waiters_place);
        json_close(json, '}');
    }
}

void stall_json(const struct picture *picture, uint64_t now, bool is_repeated) {
    static const char *const kinds[] = {
        [PICTURE_PLAIN] = "no circle",         [PICTURE_SELF] = "itself",        [PICTURE_LOCK_ORDER] = "lock order",
        [PICTURE_GUARD] = "C++ static",        [PICTURE_ONCE] = "call once",     [PICTURE_JOIN] = "join",
        [PICTURE_INSIDE] = "inside a library", [PICTURE_ACROSS] = "across GILs",
    };
    static const char *const holders[] = {
        [HOLDER_NONE] = "none", [HOLDER_THREAD] = "known", [HOLDER_UNKNOWN] = "unknown", [HOLDER_UNSEEN] = "unseen"};
    static char buffer[65536];
    size_t first = picture->partner >= 0 ? (size_t)picture->partner : 0;
    struct json json = log_json(buffer, sizeof buffer, "stall");
    json_string(&json, "deadlock", kinds[picture->kind]);
    json_bool(&json, "repeated", is_repeated);
    json_number(&json, "waiters", picture->total);
    if (picture->gil == GIL_PAUSE) {
        json_string(&json, "pause", picture->has_begun ? "begun" : "delayed");
    }
    if (json_open(&json, "waiter", '{')) {
        add_waiter(&json, picture, first, now);
        json_close(&json, '}');
    }
    json_string(&json, "holder_is", holders[picture->holder.kind]);
    if (picture->holder.kind == HOLDER_THREAD && json_open(&json, "holder", '{')) {
        add_holder(&json, picture, is_repeated);
        json_close(&json, '}');
    }
    if (picture->step_count && json_open(&json, "circle", '[')) {
        add_steps(&json, picture);
        json_close(&json, ']');
    }
    struct text text = json_end(&json);
    log_text(&text);
}
