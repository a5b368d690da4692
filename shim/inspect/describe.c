#include "inspect/describe.h"

#include <string.h>

#include "cpython/gil.h"
#include "cpython/real.h"
#include "inspect/choice.h"
#include "inspect/describe_json.h"
#include "inspect/gil.h"
#include "inspect/live.h"
#include "inspect/target.h"
#include "inspect/threads.h"
#include "journal/journal.h"
#include "process/log.h"
#include "process/options.h"
#include "system/symbol.h"
#include "system/ticks.h"

/* ---- words ------------------------------------------------------------------------------------------------------- */

static void add_seconds(struct text *text, uint64_t ns) {
    text_add_seconds(text, ns, ns < 100000000u ? 2 : 1);
}

static void add_count(struct text *text, size_t count, const char *one, const char *many) {
    text_add_decimal(text, count);
    text_add(text, count == 1 ? one : many);
}

/* "CPython 3.11.2 debug (/usr/bin/python3.11)" */
static void add_cpython(struct text *text, const struct interpreter_cpython *cpython) {
    text_add(text, "CPython ");
    text_add_decimal(text, (uint64_t)cpython->major);
    text_add(text, ".");
    text_add_decimal(text, (uint64_t)cpython->minor);
    if (cpython->micro >= 0) {
        text_add(text, ".");
        text_add_decimal(text, (uint64_t)cpython->micro);
    }
    text_add(text, cpython->is_debug ? " debug" : "");
    text_add(text, cpython->is_free_threaded ? " free-threaded" : "");
    text_add(text, " (");
    text_add(text, cpython->object->path);
    text_add(text, ")");
}

static void add_thread(struct text *text, pid_t tid) {
    char name[16];
    text_add(text, "thread ");
    text_add_decimal(text, (uint64_t)tid);
    thread_read_name(tid, name);
    if (name[0]) {
        text_add(text, " \"");
        text_add(text, name);
        text_add(text, "\"");
    }
}

/* ---- states that look wrong -------------------------------------------------------------------------------------- */

static size_t states_of(const struct interpreter_picture *picture, pid_t tid) {
    size_t count = 0;
    for (size_t i = 0; i < picture->state_count; i++) {
        count += picture->states[i].tid == tid;
    }
    return count;
}

static void add_state(struct text *text, const struct interpreter_state *state, const struct interpreter_gil *gil) {
    text_add_hex(text, state->address);
    bool is_without_gil = gil->lock == GIL_NONE && state->attachment == STATE_ATTACHED;
    if (state->address == gil->holder || is_without_gil) {
        text_add(text, " (attached)");
    } else if (state->has_slot && state->slot == state->address) {
        text_add(text, " (the one that PyGILState_Ensure uses)");
    } else if (state->has_frame) {
        text_add(text, " (in Python code)");
    }
}

/* "states: thread 12 has 2 thread states: 0x1 (attached), 0x2 (the one that PyGILState_Ensure uses)" */
static void tell_states(const struct interpreter_picture *picture, const struct interpreter_gil *gil) {
    enum { TOLD = 5 };
    unsigned told = 0;
    for (size_t i = 0; i < picture->state_count; i++) {
        pid_t tid = picture->states[i].tid;
        size_t earlier = 0;
        for (size_t j = 0; j < i; j++) {
            earlier += picture->states[j].tid == tid;
        }
        if (!tid || earlier || states_of(picture, tid) < 2 || told++ >= TOLD) {
            continue;
        }
        char buffer[1200];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "  states: ");
        add_thread(&text, tid);
        text_add(&text, " has ");
        text_add_decimal(&text, states_of(picture, tid));
        text_add(&text, " thread states: ");
        bool is_first = true;
        for (size_t j = i; j < picture->state_count; j++) {
            if (picture->states[j].tid == tid) {
                text_add(&text, is_first ? "" : ", ");
                add_state(&text, &picture->states[j], gil);
                is_first = false;
            }
        }
        log_line(text_end(&text));
    }
}

/* ---- after a stall ----------------------------------------------------------------------------------------------- */

size_t describe_suspects(const struct picture *picture, char names[][SUSPECT_NAME], size_t capacity) {
    const struct stack *stack = &picture->holding.stack;
    size_t count = 0;
    for (size_t i = 0; picture->kind == PICTURE_SELF && i < stack->count && count < capacity; i++) {
        struct text name = text_start(names[count], SUSPECT_NAME);
        struct elf_object object;
        const char *address = stack->frames[i];
        if (!address || !elf_find_by_address(address - 1, &object) || !wait_graph_may_be_culprit(&object)) {
            continue;
        }
        symbol_add_library(&name, address);
        text_end(&name);
        count += !count || strcmp(names[count], names[count - 1]) != 0;
    }
    return count;
}

static void add_suspects(struct text *text, const struct picture *picture) {
    char names[SUSPECTS][SUSPECT_NAME];
    size_t count = describe_suspects(picture, names, SUSPECTS);
    text_add(text, "  suspects: the state that the thread holds was attached by ");
    text_add(text, count > 1 ? "one of the libraries on its stack: " : count ? "the library on its stack: " : "");
    text_add(text, count ? "" : "the interpreter: no library is on its stack");
    for (size_t i = 0; i < count; i++) {
        text_add(text, i ? ", called by " : "");
        text_add(text, names[i]);
    }
}

/* "journal: thread 12 "worker", 3.214 s ago: PyEval_SaveThread by libfoo.so!bar+0x12, state 0x1" */
static void describe_event(const struct journal_thread *thread, const struct journal_event *event) {
    char buffer[1200];
    struct text text = text_start(buffer, sizeof buffer);
    uint64_t now = target_now(), then = ticks_to_ns(event->time);
    text_add(&text, "  journal: ");
    add_thread(&text, thread->tid);
    text_add(&text, ", ");
    text_add_seconds(&text, now > then ? now - then : 0, 3);
    text_add(&text, " s ago: ");
    text_add(&text, event->call < REAL_API_COUNT ? real_api_names[event->call] : journal_kind_name(event->kind));
    if (event->caller) {
        text_add(&text, " by ");
        symbol_add(&text, event->caller);
    }
    if (event->state) {
        text_add(&text, ", state ");
        text_add_hex(&text, (uintptr_t)event->state);
    }
    log_line(text_end(&text));
}

/* With the shim in the process: what the holder and the waiter did last, each in its order. */
static void describe_journal(const struct picture *picture) {
    enum { TOLD = 5 };
    pid_t tids[2] = {picture->holder.tid, picture->waiters[picture->partner >= 0 ? picture->partner : 0].tid};
    for (int i = 0; i < 2; i++) {
        static struct journal_thread thread;
        struct journal_event events[TOLD];
        unsigned torn;
        int index = tids[i] && (i == 0 || tids[i] != tids[0]) ? journal_find(tids[i]) : -1;
        unsigned count = index >= 0 && journal_read_thread((unsigned)index, &thread)
                             ? journal_read_events((unsigned)index, events, TOLD, &torn)
                             : 0;
        for (unsigned n = 0; n < count; n++) {
            describe_event(&thread, &events[n]);
        }
    }
}

void describe_add_thread(struct text *text, pid_t tid) {
    add_thread(text, tid);
}

static void add_interpreter(struct text *text, const struct watched_python *python) {
    add_cpython(text, &python->cpython);
    text_add(text, ", ");
    add_count(text, target_threads(NULL, 0), " thread, ", " threads, ");
    if (python->has_picture) {
        add_count(text, python->picture.state_count, " thread state", " thread states");
        text_add(text, python->picture.finalizing ? ", finalizing" : "");
    } else {
        text_add(text, python->cpython.reason ? "its interpreter can't be read: " : "not initialized, or ended");
        text_add(text, python->cpython.reason ? python->cpython.reason : "");
    }
}

void describe_interpreter(const struct watched_python *python) {
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "  interpreter: ");
    add_interpreter(&text, python);
    log_line(text_end(&text));
}

void describe_several(void) {
    log_line("  warning: there are several CPythons in this process: objects of one must not come to another");
}

void describe_states(const struct watched_python *python) {
    if (python->has_picture && python->gil_count) {
        tell_states(&python->picture, &python->gils[0].now);
    }
}

void describe_stall(const struct picture *picture) {
    const struct watched_python *python = choice_python();
    char buffer[1800];
    if (options.log_format == LOG_JSON) {
        describe_json_stall(picture);
        return;
    }
    struct text text;
    describe_interpreter(python);
    uint64_t still = picture->holder.kind == HOLDER_THREAD ? threads_still_for(picture->holder.tid) : 0;
    if (still > 20000000u) {
        text = text_start(buffer, sizeof buffer);
        text_add(&text, picture->gil == GIL_PAUSE ? "  still: the attached thread has not run for "
                                                  : "  still: the holder has not run for ");
        add_seconds(&text, still);
        text_add(&text, " s");
        log_line(text_end(&text));
    }
    if (picture->has_holder_look && (picture->holding.look.state == 'T' || picture->holding.look.state == 't')) {
        log_line(picture->holding.look.state == 't' ? "  stopped: a debugger or tracer has stopped the holder"
                                                    : "  stopped: the holder is stopped by a signal");
    }
    if (picture->is_doubtful) {
        log_line(
            "  possible: nothing tells who has the lock in which the holder sleeps; a long call that gets on in other "
            "threads looks the same. Look again in a while, or for longer (-s 15)");
    }
    tell_states(&python->picture, &choice_gil()->now);
    const void *place;
    uint16_t call;
    if (picture->kind == PICTURE_SELF && !wait_graph_attached_at(picture, &place, &call)) {
        text = text_start(buffer, sizeof buffer);
        add_suspects(&text, picture);
        log_line(text_end(&text));
    }
    describe_journal(picture);
}

bool describe_stop(void) {
    struct thread_look look;
    if (live_is_frozen()) {
        log_line(
            "stopped: the whole process is frozen by its control group (docker pause, systemctl freeze); nothing in it "
            "can move before it is thawed");
        return true;
    }
    if (!thread_look(target_pid(), &look) || (look.state != 'T' && look.state != 't')) {
        return false;
    }
    log_line(
        look.state == 't'
            ? "stopped: a debugger or tracer has stopped the whole process; nothing in it can move before it goes on"
            : "stopped: the whole process is stopped by a signal (SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU); SIGCONT lets it "
              "go on");
    return true;
}

/* ---- no stall ---------------------------------------------------------------------------------------------------- */

static void add_gil(struct text *text, const struct watched_python *python, size_t index, uint64_t watched) {
    const struct watched_gil *gil = &python->gils[index];
    struct waiter longest;
    size_t waited;
    size_t total = watch_waiters(python, index, &longest, 1, &waited);
    const struct interpreter_state *holder =
        gil->now.holder ? interpreter_state_at(&python->picture, gil->now.holder) : NULL;
    switch (gil->now.lock) {
    case GIL_NONE: text_add(text, "there is no GIL that a thread could wait for"); return;
    case GIL_UNKNOWN: text_add(text, "who has the GIL can't be told"); break;
    default:
        if (gil->changes) {
            text_add(text, "the GIL went to another thread ");
            add_count(text, gil->changes, " time", " times");
        } else if (gil->free_looks > gil->looks / 2) {
            text_add(text, "the GIL was free");
        } else if (gil->has_moved || !holder) {
            text_add(text, target_source()->is_core ? "a thread that can't be told had the GIL"
                                                    : "the GIL was taken and released");
        } else {
            add_thread(text, holder->tid);
            text_add(text, target_source()->is_core ? " had the GIL" : " had the GIL at each look");
        }
        if (!target_source()->is_core) {
            text_add(text, ", in ");
            add_seconds(text, watched);
            text_add(text, " s");
        }
    }
    text_add(text, "; ");
    if (!total) {
        text_add(text, "nobody waits for it");
        return;
    }
    if (target_source()->is_core) {
        add_count(text, total, " thread waits for it", " threads wait for it");
        return;
    }
    add_count(text, total, " thread waits for it, for ", " threads wait for it, the longest for ");
    text_add(text, waited ? "at least " : "");
    add_seconds(text, ticks_monotonic() - longest.since);
    text_add(text, " s");
}

void describe_nothing(const struct watched_python *python) {
    char buffer[2400];
    if (options.log_format == LOG_JSON) {
        describe_json_nothing(python);
        return;
    }
    struct text text = text_start(buffer, sizeof buffer);
    uint64_t watched = ticks_monotonic() - watch_begun();
    text_add(&text, "no stall: ");
    add_cpython(&text, &python->cpython);
    text_add(&text, ", ");
    add_count(&text, target_threads(NULL, 0), " thread: ", " threads: ");
    if (python->cpython.reason) {
        text_add(&text, "its interpreter can't be read: ");
        text_add(&text, python->cpython.reason);
    } else if (!python->has_picture) {
        text_add(&text, "it is not initialized, or its interpreter has ended");
    }
    for (size_t i = 0; python->has_picture && i < python->gil_count; i++) {
        int64_t id = gil_id(&python->picture, i);
        text_add(&text, i ? "; " : "");
        if (id != GIL_NOT_TOLD) {
            text_add(&text, "interpreter ");
            text_add_decimal(&text, (uint64_t)id);
            text_add(&text, ": ");
        }
        add_gil(&text, python, i, watched);
    }
    bool is_all;
    size_t hidden = watch_hidden(&is_all);
    if (hidden) {
        text_add(&text, "; what ");
        add_count(&text, hidden, " thread waits for is hidden", " threads wait for is hidden");
    }
    log_line(text_end(&text));
    describe_states(python);
}
