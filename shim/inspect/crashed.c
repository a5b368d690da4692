#include "inspect/crashed.h"

#include <string.h>

#include "cpython/real.h"
#include "inspect/choice.h"
#include "inspect/core.h"
#include "inspect/journal.h"
#include "inspect/running_thread.h"
#include "inspect/target.h"
#include "process/options.h"
#include "system/symbol.h"
#include "system/ticks.h"

/* A watchdog aborts a process that hangs, too: then the signal came from another process. */
bool crashed_is_crash(const struct core_image *core) {
    const struct core_thread *thread = &core->threads[0];
    switch (thread->number) {
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGSYS: return true;
    case SIGABRT: return !thread->has_info || thread->info.si_code > 0 || thread->info.si_pid == core->pid;
    default: return false;
    }
}

/* ---- which CPython ----------------------------------------------------------------------------------------------- */

/* Returns the one that is innermost on the stack. */
static const struct watched_python *python_on_stack(const struct crashed *crashed) {
    static struct stack stack;
    struct thread_look look;
    const struct watched_python *readable = NULL;
    if (thread_look(crashed->thread->tid, &look)) {
        stacks_take(&look, &stack);
    }
    for (size_t i = 0; i < stack.count; i++) {
        for (size_t p = 0; p < crashed->python_count; p++) {
            const struct target_object *object = crashed->pythons[p].cpython.object;
            if ((uintptr_t)stack.frames[i] - 1 - object->start < object->end - object->start) {
                return &crashed->pythons[p];
            }
        }
    }
    for (size_t p = 0; p < crashed->python_count && !readable; p++) {
        readable = crashed->pythons[p].has_picture ? &crashed->pythons[p] : NULL;
    }
    return readable ? readable : crashed->pythons;
}

/* ---- the GIL ----------------------------------------------------------------------------------------------------- */

/* Returns true if one of the thread's registers has the value, where it has crashed or in the functions around that. */
static bool has_in_register(const struct crashed *crashed, uintptr_t value) {
    const struct cfi_frame *frame = &crashed->thread->registers;
    for (unsigned i = 0; i < CFI_REGISTERS; i++) {
        if (frame->known >> i & 1 && frame->values[i] == value) {
            return true;
        }
    }
    for (size_t i = 0; i < crashed->dead_count && i < CRASHED_DEAD; i++) {
        if (crashed->dead[i].address == value) {
            return true;
        }
    }
    return false;
}

static const struct interpreter_state *attached_by(const struct interpreter_picture *picture, pid_t tid) {
    for (size_t i = 0; i < picture->state_count; i++) {
        if (picture->states[i].tid == tid && picture->states[i].attachment == STATE_ATTACHED) {
            return &picture->states[i];
        }
    }
    return NULL;
}

/* Returns true if it can be told that the thread has not this GIL; otherwise *is_own is set. */
static bool is_others(struct crashed *crashed, const struct interpreter_picture *picture,
                      const struct interpreter_gil *gil, bool *is_own) {
    const struct interpreter_state *holder = gil->holder ? interpreter_state_at(picture, gil->holder) : NULL;
    const struct interpreter_state *last = gil->last_holder ? interpreter_state_at(picture, gil->last_holder) : NULL;
    pid_t tid = crashed->thread->tid;
    *is_own = false;
    if (holder) {
        return holder->tid && holder->tid != tid;
    }
    if (gil->holder) { /* a state that is not in the list */
        *is_own = has_in_register(crashed, gil->holder) || running_thread_has_word(tid, gil->holder);
        crashed->crash.is_state_gone = *is_own;
        crashed->crash.state = *is_own ? (const PyThreadState *)gil->holder : NULL;
        return false;
    }
    if (gil->lock == GIL_HELD) { /* without a state, up to 3.11 */
        *is_own = last && last->tid == tid;
        return last && last->tid && last->tid != tid;
    }
    return gil->lock == GIL_FREE || picture->cpython->current;
}

static void find_gil(struct crashed *crashed) {
    const struct interpreter_picture *picture = &crashed->python->picture;
    const struct interpreter_state *own = attached_by(picture, crashed->thread->tid);
    struct crash *crash = &crashed->crash;
    bool is_sure = true, is_own = false;
    crash->gil = CURRENT_THREAD_HAS_NO_GIL;
    if (own) {
        crash->gil = CURRENT_THREAD_HAS_GIL;
        crash->state = (const PyThreadState *)own->address;
        return;
    }
    for (size_t i = 0; i < picture->gil_count && !is_own; i++) {
        bool is_told = is_others(crashed, picture, &picture->gils[i], &is_own);
        is_sure &= is_told;
    }
    if (is_own) {
        crash->gil = CURRENT_THREAD_HAS_GIL;
    } else if (!is_sure && !crashed->python->cpython.is_free_threaded) {
        crash->gil = CURRENT_THREAD_UNKNOWN;
    }
}

/* A state that the thread has handed to CPython to attach, and that is none any more. */
static void find_state_to_attach(struct crashed *crashed) {
    static const char *const calls[] = {"PyEval_RestoreThread", "PyEval_AcquireThread", "PyThreadState_Swap",
                                        "PyGILState_Ensure"};
    const char *entry = crashed->crash.stack.entry;
    for (size_t i = 0; entry && i < sizeof calls / sizeof calls[0]; i++) {
        if (strcmp(entry, calls[i]) == 0 && crashed->dead_count && crashed->crash.gil != CURRENT_THREAD_HAS_GIL) {
            crashed->crash.state = (const PyThreadState *)crashed->dead[0].address;
            crashed->crash.is_attaching = crashed->crash.is_state_gone = true;
        }
    }
}

/* Finds the state whose Python stack is the thread's: what it has attached, or had before it went into native code. */
static void find_own_state(struct crashed *crashed) {
    const struct interpreter_picture *picture = &crashed->python->picture;
    const struct interpreter_state *found = NULL;
    for (size_t i = 0; i < picture->state_count; i++) {
        const struct interpreter_state *state = &picture->states[i];
        if (state->tid == crashed->thread->tid && (!found || (state->has_frame && !found->has_frame))) {
            found = state;
        }
    }
    crashed->state = found ? (const void *)found->address : NULL;
    if (crashed->crash.gil == CURRENT_THREAD_HAS_GIL && crashed->crash.state) {
        crashed->state = crashed->crash.state;
    }
}

/* Who has the GIL, and who waits for it. With several GILs: the one for which there are waiters, or that is held. */
static void find_others(struct crashed *crashed) {
    const struct watched_python *python = crashed->python;
    for (size_t i = 0; i < python->gil_count; i++) {
        size_t unused;
        const struct interpreter_gil *gil = &python->gils[i].now;
        size_t waiters = watch_waiters(python, i, NULL, 0, &unused);
        if (crashed->is_gil_held && waiters <= crashed->waiter_count) {
            continue;
        }
        const struct interpreter_state *holder =
            interpreter_state_at(&python->picture, gil->holder ? gil->holder : gil->last_holder);
        bool is_held = gil->lock == GIL_HELD || gil->holder;
        crashed->is_gil_held = is_held;
        crashed->holder = is_held && holder ? holder->tid : 0;
        crashed->held_by = is_held ? (const void *)gil->holder : NULL;
        crashed->waiter_count = watch_waiters(python, i, crashed->waiters, CRASHED_WAITERS, &unused);
    }
    if (crashed->crash.gil == CURRENT_THREAD_HAS_GIL && crashed->held_by == crashed->crash.state) {
        crashed->holder = crashed->thread->tid; /* also if its state is in no list */
    }
    struct thread_look look;
    if (crashed->holder && crashed->holder != crashed->thread->tid && thread_look(crashed->holder, &look)) {
        stacks_take(&look, &crashed->holder_stack);
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

/* A core file without the signal's information: what the number alone says. */
static siginfo_t info_of(const struct core_image *core) {
    const struct core_thread *thread = &core->threads[0];
    siginfo_t info = thread->info;
    if (!thread->has_info) {
        memset(&info, 0, sizeof info);
        info.si_signo = thread->number;
        info.si_code = thread->number == SIGABRT ? SI_TKILL : SI_KERNEL;
        info.si_pid = core->pid;
    }
    return info;
}

static const char *find_fatal(const struct crash_stack *stack) {
    static const char *const names[] = {"Py_FatalError", "_Py_FatalErrorFunc", "_Py_FatalErrorFormat",
                                        "_Py_FatalRefcountErrorFunc"};
    for (size_t i = 0; i < stack->count; i++) {
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            if (symbol_is(stack->frames[i], names[j])) {
                return names[j];
            }
        }
    }
    return NULL;
}

const char *crashed_advice(const struct crashed *crashed) {
    return crashed->fatal ? "CPython checks for this error: README's table has what the words of its fatal errors mean"
                          : crash_advice(&crashed->crash);
}

static void take_journal(struct crashed *crashed) {
    struct journal_thread thread;
    unsigned torn;
    int index = journal_find(crashed->thread->tid);
    struct crash *crash = &crashed->crash;
    crash->is_unwatched = !journal_count();
    crash->now = journal_latest();
    if (index < 0 || !journal_read_thread((unsigned)index, &thread)) {
        return;
    }
    memcpy(crashed->name, thread.python_name, sizeof crashed->name);
    crash->has_event = journal_read_events((unsigned)index, &crash->event, 1, &torn) == 1;
    if (!crash->state && thread.now.phase == JOURNAL_WAITS && thread.now.state) {
        crash->state = thread.now.state;
        crash->is_attaching = true;
    }
}

bool crashed_explain(const struct core_image *core, const struct watched_python *pythons, size_t count) {
    static struct crashed crashed;
    struct crash *crash = &crashed.crash;
    memset(&crashed, 0, sizeof crashed);
    crashed.thread = &core->threads[0];
    crashed.pythons = pythons;
    crashed.python_count = count;
    crashed.python = python_on_stack(&crashed);
    choice_make(crashed.python, 0);
    siginfo_t info = info_of(core);
    crash_stack_walk(&info, &crashed.thread->registers, &crash->stack);
    crash->number = crashed.thread->number;
    crash->info = crash->stack.has_origin ? crash->stack.origin : info;
    bool has_picture = crashed.python->has_picture;
    if (has_picture) {
        size_t found = dead_states_find(&crashed.python->picture, crashed.thread->tid, &crashed.thread->registers,
                                        crashed.thread->pointer, crashed.dead, CRASHED_DEAD);
        crashed.dead_count = found < CRASHED_DEAD ? found : CRASHED_DEAD;
        find_gil(&crashed);
        find_state_to_attach(&crashed);
        find_own_state(&crashed);
        find_others(&crashed);
    }
    take_journal(&crashed);
    if (!crashed.name[0]) {
        thread_read_name(crashed.thread->tid, crashed.name);
    }
    crash->ending = !has_picture                         ? "Python is not initialized, or not any more"
                    : crashed.python->picture.finalizing ? "Python is being finalized"
                                                         : NULL;
    crashed.fatal = find_fatal(&crash->stack);
    const struct crash_process process = {core->pid, !crashed.python->cpython.reason, has_picture};
    crash_judge(crash, &process);
    if (options.log_format == LOG_JSON) {
        crashed_write_json(&crashed);
    } else {
        crashed_write_text(&crashed);
    }
    return true;
}
