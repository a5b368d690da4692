#include "diagnose/stall_json.h"
#include "inspect/crashed.h"
#include "inspect/describe_json.h"
#include "process/log.h"
#include "system/symbol.h"
#include "system/symbol_json.h"

static void add_frames(struct json *json, void *const *frames, size_t count) {
    if (json_open(json, "native_stack", '[')) {
        for (size_t i = 0; i < count; i++) {
            symbol_json(json, NULL, frames[i]);
        }
        json_close(json, ']');
    }
}

static void add_holder(struct json *json, const struct crashed *crashed) {
    json_bool(json, "gil_held", crashed->is_gil_held);
    if (crashed->holder && json_open(json, "holder", '{')) {
        json_number(json, "tid", (uint64_t)crashed->holder);
        json_hex(json, "tstate", (uintptr_t)crashed->held_by);
        if (crashed->holder != crashed->thread->tid) {
            add_frames(json, crashed->holder_stack.frames, crashed->holder_stack.count);
            stall_json_python_stack(json, crashed->held_by);
        }
        json_close(json, '}');
    }
    json_number(json, "waiters", crashed->waiter_count);
    if (json_open(json, "waiting_tids", '[')) {
        for (size_t i = 0; i < crashed->waiter_count && i < CRASHED_WAITERS; i++) {
            json_number(json, NULL, (uint64_t)crashed->waiters[i].tid);
        }
        json_close(json, ']');
    }
}

static void add_dead(struct json *json, const struct crashed *crashed) {
    static const char *const places[] = {
        [DEAD_IN_REGISTER] = "register", [DEAD_IN_KEY] = "pthread key", [DEAD_IN_THREAD_LOCAL] = "thread-local"};
    if (!crashed->dead_count || !json_open(json, "dead_states", '[')) {
        return;
    }
    for (size_t i = 0; i < crashed->dead_count && json_open(json, NULL, '{'); i++) {
        json_hex(json, "tstate", crashed->dead[i].address);
        json_string(json, "in", places[crashed->dead[i].place]);
        json_close(json, '}');
    }
    json_close(json, ']');
}

void crashed_write_json(const struct crashed *crashed) {
    static char buffer[65536];
    char name[400];
    const struct crash_stack *stack = &crashed->crash.stack;
    const void *culprit = stack->culprit ? stack->culprit : stack->place;
    struct json json = log_json(buffer, sizeof buffer, "fatal");
    json_string(&json, "name", "crash");
    json_number(&json, "of_tid", (uint64_t)crashed->thread->tid);
    json_string(&json, "thread", crashed->name);
    crash_add_json(&json, &crashed->crash);
    json_string(&json, "fatal_error", crashed->fatal);
    json_string(&json, "call", stack->is_in_cpython && stack->culprit ? stack->entry : NULL);
    struct text text = text_start(name, sizeof name);
    symbol_add_library(&text, culprit);
    json_string(&json, "culprit", culprit ? text_end(&text) : NULL);
    symbol_json(&json, "culprit_place", culprit);
    json_string(&json, "advice", crashed_advice(crashed));
    add_frames(&json, stack->frames, stack->count);
    json_bool(&json, "native_stack_guessed", stack->is_guess);
    if (crashed->state) {
        stall_json_python_stack(&json, crashed->state);
    }
    if (crashed->python->has_picture) {
        add_holder(&json, crashed);
        add_dead(&json, crashed);
    }
    text = json_end(&json);
    log_text(&text);
    for (size_t i = 0; i < crashed->python_count; i++) {
        describe_json_python(&crashed->pythons[i]);
    }
}
