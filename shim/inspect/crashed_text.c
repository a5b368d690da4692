#include <string.h>

#include "cpython/pystack.h"
#include "diagnose/report_detail.h"
#include "inspect/crashed.h"
#include "inspect/describe.h"
#include "process/log.h"
#include "system/symbol.h"

enum { PYTHON_LINES = 60 };

static void put_frames(void *const *frames, size_t count) {
    char buffer[1600];
    for (size_t i = 0; i < count; i++) {
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "    #");
        text_add_decimal(&text, i);
        text_add(&text, " ");
        symbol_add(&text, frames[i]);
        log_line(text_end(&text));
    }
}

static void put_python_stack(const void *state, const char *whose) {
    static char dump[8192];
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    const char *reason = pystack_take((PyThreadState *)state, dump, sizeof dump);
    text_add(&text, "  Python stack of ");
    text_add(&text, whose);
    text_add(&text, reason ? ": not available: " : ":");
    text_add(&text, reason ? reason : "");
    log_line(text_end(&text));
    unsigned told = 0;
    for (const char *line = dump; *line && told < PYTHON_LINES; told++) {
        size_t length = strcspn(line, "\n");
        text = text_start(buffer, sizeof buffer);
        text_add(&text, "    ");
        text_add_span(&text, line + strspn(line, " "), length - strspn(line, " "));
        log_line(text_end(&text));
        line += length + (line[length] != '\0');
    }
}

static void put_gil(const struct crashed *crashed) {
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "  GIL: ");
    if (crashed->python->cpython.is_free_threaded && !crashed->is_gil_held) {
        bool is_on = crashed->python->gil_count && crashed->python->gils[0].now.lock == GIL_FREE;
        text_add(&text, is_on ? "" : "this build runs without one, unless it was switched on: ");
    }
    if (!crashed->is_gil_held) {
        text_add(&text, crashed->crash.gil == CURRENT_THREAD_UNKNOWN ? "who has it can't be told" : "no thread has it");
    } else if (crashed->holder == crashed->thread->tid) {
        text_add(&text, "the thread that crashed has it");
    } else if (crashed->holder) {
        describe_add_thread(&text, crashed->holder);
        text_add(&text, " has it");
    } else {
        text_add(&text, "it is held, by a thread that can't be told");
    }
    if (crashed->held_by) {
        text_add(&text, ", with state ");
        text_add_hex(&text, (uintptr_t)crashed->held_by);
    }
    text_add(&text, "; ");
    text_add_decimal(&text, crashed->waiter_count);
    text_add(&text, crashed->waiter_count == 1 ? " thread waits for it" : " threads wait for it");
    for (size_t i = 0; i < crashed->waiter_count && i < CRASHED_WAITERS; i++) {
        text_add(&text, i ? ", " : ": ");
        text_add_decimal(&text, (uint64_t)crashed->waiters[i].tid);
    }
    text_add(&text, crashed->waiter_count > CRASHED_WAITERS ? ", ..." : "");
    log_line(text_end(&text));
}

static void put_dead(const struct crashed *crashed) {
    for (size_t i = 0; i < crashed->dead_count; i++) {
        const struct dead_state *dead = &crashed->dead[i];
        char buffer[400];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "  dead state: ");
        text_add_hex(&text, dead->address);
        text_add(
            &text,
            " was a thread state, and is in no list of CPython's: it was deleted; the thread that crashed has it ");
        switch (dead->place) {
        case DEAD_IN_KEY:
            text_add(&text, "under pthread key ");
            text_add_decimal(&text, dead->key);
            break;
        case DEAD_IN_THREAD_LOCAL: text_add(&text, "in a thread-local variable"); break;
        case DEAD_IN_REGISTER: text_add(&text, "in a register"); break;
        }
        log_line(text_end(&text));
    }
}

static void put_pythons(const struct crashed *crashed) {
    for (size_t i = 0; i < crashed->python_count; i++) {
        describe_interpreter(&crashed->pythons[i]);
    }
    if (crashed->python_count > 1) {
        describe_several();
    }
}

void crashed_write_text(const struct crashed *crashed) {
    const struct crash *crash = &crashed->crash;
    char buffer[3400];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "crash: ");
    crash_add_line(&text, crash, crashed->thread->tid, crashed->name);
    log_line(text_end(&text));
    if (crashed->fatal) {
        text = text_start(buffer, sizeof buffer);
        text_add(&text, "  fatal error: CPython has ended the process itself (");
        text_add(&text, crashed->fatal);
        text_add(&text, "); its words are in the program's standard error");
        log_line(text_end(&text));
    }
    put_pythons(crashed);
    if (crashed->python->has_picture) {
        put_gil(crashed);
        put_dead(crashed);
        describe_states(crashed->python);
    }
    log_line(crash->stack.is_guess ? "  native stack of the thread that crashed, partly guessed:"
                                   : "  native stack of the thread that crashed:");
    put_frames(crash->stack.frames, crash->stack.count);
    if (crashed->state) {
        put_python_stack(crashed->state, "the thread that crashed");
    }
    if (crashed->holder_stack.count) {
        log_line("  native stack of the thread that has the GIL:");
        put_frames(crashed->holder_stack.frames, crashed->holder_stack.count);
    }
    if (crashed->held_by && crashed->held_by != crashed->state) {
        put_python_stack(crashed->held_by, "the thread that has the GIL");
    }
    text = text_start(buffer, sizeof buffer);
    text_add(&text, "  advice: ");
    text_add(&text, crashed_advice(crashed));
    log_line(text_end(&text));
}
