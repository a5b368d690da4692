#include "inspect/describe_json.h"

#include "cpython/gil.h"
#include "inspect/choice.h"
#include "inspect/describe.h"
#include "inspect/gil.h"
#include "inspect/target.h"
#include "inspect/threads.h"
#include "process/log.h"
#include "system/ticks.h"

enum { STATES_MAX = 200 };

static char buffer[65536];

static void add_process(struct json *json, const struct watched_python *python) {
    const struct interpreter_cpython *cpython = &python->cpython;
    char version[48];
    struct text text = text_start(version, sizeof version);
    text_add_decimal(&text, (uint64_t)cpython->major);
    text_add(&text, ".");
    text_add_decimal(&text, (uint64_t)cpython->minor);
    if (cpython->micro >= 0) {
        text_add(&text, ".");
        text_add_decimal(&text, (uint64_t)cpython->micro);
    }
    json_string(json, "python", text_end(&text));
    json_bool(json, "debug", cpython->is_debug);
    json_bool(json, "free_threaded", cpython->is_free_threaded);
    json_string(json, "path", cpython->object->path);
    json_bool(json, "initialized", python->has_picture);
    json_bool(json, "finalizing", python->has_picture && python->picture.finalizing);
    json_number(json, "threads", target_threads(NULL, 0));
    if (cpython->reason) {
        json_string(json, "no_interpreter", cpython->reason);
    }
}

static void add_states(struct json *json, const struct watched_python *python, uintptr_t holder) {
    const struct interpreter_picture *picture = &python->picture;
    bool is_without_gil = python->cpython.is_free_threaded && python->gil_count && python->gils[0].now.lock == GIL_NONE;
    if (!python->has_picture || !json_open(json, "states", '[')) {
        return;
    }
    for (size_t i = 0; i < picture->state_count && i < STATES_MAX; i++) {
        const struct interpreter_state *state = &picture->states[i];
        if (!json_open(json, NULL, '{')) {
            break;
        }
        json_hex(json, "tstate", state->address);
        json_number(json, "interpreter", (uint64_t)picture->interpreters[state->interpreter].id);
        json_number(json, "tid", (uint64_t)state->tid);
        bool is_attached = is_without_gil ? state->attachment == STATE_ATTACHED : state->address == holder;
        json_bool(json, "attached", is_attached);
        if (state->has_slot) {
            json_bool(json, "in_gilstate_slot", state->slot == state->address);
        }
        json_close(json, '}');
    }
    json_close(json, ']');
}

void describe_json_stall(const struct picture *picture) {
    char names[SUSPECTS][SUSPECT_NAME];
    size_t count = describe_suspects(picture, names, SUSPECTS);
    struct json json = log_json(buffer, sizeof buffer, "process");
    add_process(&json, choice_python());
    uint64_t still = picture->holder.kind == HOLDER_THREAD ? threads_still_for(picture->holder.tid) : 0;
    if (still) {
        json_seconds(&json, "holder_still", still);
    }
    if (picture->is_doubtful) {
        json_bool(&json, "deadlock_is_doubtful", true);
    }
    const void *place;
    uint16_t call;
    if (count && !wait_graph_attached_at(picture, &place, &call) && json_open(&json, "suspects", '[')) {
        for (size_t i = 0; i < count; i++) {
            json_string(&json, NULL, names[i]);
        }
        json_close(&json, ']');
    }
    add_states(&json, choice_python(), choice_gil()->now.holder);
    struct text text = json_end(&json);
    log_text(&text);
}

void describe_json_python(const struct watched_python *python) {
    struct json json = log_json(buffer, sizeof buffer, "process");
    add_process(&json, python);
    add_states(&json, python, python->has_picture && python->gil_count ? python->gils[0].now.holder : 0);
    struct text text = json_end(&json);
    log_text(&text);
}

static void add_gil(struct json *json, const struct watched_python *python, size_t index) {
    static const char *const locks[] = {
        [GIL_UNKNOWN] = "unknown", [GIL_NONE] = "none", [GIL_FREE] = "free", [GIL_HELD] = "held"};
    const struct watched_gil *gil = &python->gils[index];
    const struct interpreter_state *holder =
        gil->now.holder ? interpreter_state_at(&python->picture, gil->now.holder) : NULL;
    struct waiter longest;
    size_t waited;
    size_t total = watch_waiters(python, index, &longest, 1, &waited);
    int64_t id = gil_id(&python->picture, index);
    if (id != GIL_NOT_TOLD) {
        json_number(json, "gil", (uint64_t)id);
    }
    json_string(json, "lock", locks[gil->now.lock]);
    json_bool(json, "moved", gil->has_moved);
    json_number(json, "changes", gil->changes);
    json_number(json, "holder_tid", holder ? (uint64_t)holder->tid : 0);
    json_number(json, "waiters", total);
    if (total) {
        json_seconds(json, "longest", ticks_monotonic() - longest.since);
    }
}

void describe_json_nothing(const struct watched_python *python) {
    struct json json = log_json(buffer, sizeof buffer, "no stall");
    add_process(&json, python);
    json_seconds(&json, "watched", ticks_monotonic() - watch_begun());
    if (python->has_picture && json_open(&json, "gils", '[')) {
        for (size_t i = 0; i < python->gil_count && json_open(&json, NULL, '{'); i++) {
            add_gil(&json, python, i);
            json_close(&json, '}');
        }
        json_close(&json, ']');
    }
    add_states(&json, python, python->has_picture && python->gil_count ? python->gils[0].now.holder : 0);
    struct text text = json_end(&json);
    log_text(&text);
}
