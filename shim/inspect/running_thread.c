#include "inspect/running_thread.h"

#include <stdbool.h>
#include <stdint.h>

#include "cpython/real.h"
#include "diagnose/stacks.h"
#include "inspect/entry.h"
#include "inspect/interpreter.h"
#include "inspect/target.h"
#include "inspect/watch.h"
#include "system/thread.h"

enum {
    THREADS_MAX = 1024,
    SEARCHED = 256 * 1024, /* of a stack, for the address of a frame */
    STACK_MAX = 1 << 30,   /* larger ones are no stacks */
    WORDS = 1024,          /* that are read at once */
};

/* Returns true if one of the words from `from` up to `to` is `word`. */
static bool has_word(uintptr_t from, uintptr_t to, uintptr_t word) {
    static uintptr_t words[WORDS];
    while (from < to) {
        size_t count = (to - from) / sizeof word < WORDS ? (to - from) / sizeof word : WORDS;
        if (!count || !target_read(from, words, count * sizeof word)) {
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            if (words[i] == word) {
                return true;
            }
        }
        from += count * sizeof word;
    }
    return false;
}

/* `is_place`: `mark` is an address in the stack, not a word of it. */
static bool runs_it(pid_t tid, uintptr_t mark, bool is_place) {
    struct thread_look look;
    if (!thread_look(tid, &look) || !look.stack) {
        return false;
    }
    uintptr_t from = (look.stack + sizeof mark - 1) & ~(sizeof mark - 1), top = stacks_top_of(tid);
    if (top <= from || top - from > STACK_MAX) {
        return false;
    }
    if (is_place) {
        return mark - from < top - from;
    }
    return has_word(from, top - from > SEARCHED ? from + SEARCHED : top, mark);
}

pid_t running_thread_find(const struct interpreter_cpython *cpython, const struct interpreter_state *state) {
    static pid_t tids[THREADS_MAX];
    bool is_place = cpython->layout.cframe_frame >= 0;
    uintptr_t mark;
    pid_t found = 0;
    if (!state->has_frame || (cpython->major == 3 && cpython->minor > 12) ||
        !target_read(state->address + (uintptr_t)cpython->layout.state_frame, &mark, sizeof mark) || !mark) {
        return 0;
    }
    size_t count = target_threads(tids, THREADS_MAX);
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        if (runs_it(tids[i], mark, is_place)) {
            if (found) {
                return 0;
            }
            found = tids[i];
        }
    }
    return found;
}

bool running_thread_has_word(pid_t tid, uintptr_t word) {
    return runs_it(tid, word, false);
}

/* Returns true if the thread waits for a GIL in PyGILState_Ensure. */
static bool waits_in_ensure(const struct interpreter_cpython *cpython, pid_t tid) {
    static struct stack stack;
    struct thread_look look;
    uint16_t call;
    const void *caller;
    if (!watch_is_waiter(tid) || !thread_look(tid, &look)) {
        return false;
    }
    stacks_take(&look, &stack);
    return entry_find(&stack, &cpython->object->elf, &call, &caller) && call == REAL_INDEX_PyGILState_Ensure;
}

pid_t running_thread_waiting_with(const struct interpreter_cpython *cpython, const struct interpreter_state *state) {
    static pid_t tids[THREADS_MAX];
    pid_t found = 0;
    if (cpython->major == 3 && cpython->minor > 11) {
        return 0;
    }
    size_t count = target_threads(tids, THREADS_MAX);
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        if (tids[i] != state->tid && runs_it(tids[i], state->address, false) && waits_in_ensure(cpython, tids[i])) {
            if (found) {
                return 0;
            }
            found = tids[i];
        }
    }
    return found;
}
