#include "states/fork_states.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpython/interp.h"
#include "cpython/pauses.h"
#include "cpython/real.h"
#include "system/thread.h"

/* From 3.6 on a state begins with the two links of a list that is no ring. 2.7 has only the second link, in another
 * place; CPython frees nothing there, and is_linked is never true. */
struct links {
    struct links *previous;
    struct links *next;
};

enum { HIDDEN_MAX = 32 };
static struct links *hidden[HIDDEN_MAX];
static bool is_marked[HIDDEN_MAX]; /* by pauses_mark */
static size_t hidden_count;

static struct links *next_of(struct links *state) {
    return (struct links *)real.PyThreadState_Next((PyThreadState *)state);
}

static struct links *head_of(PyInterpreterState *interp) {
    return (struct links *)real.PyInterpreterState_ThreadHead(interp);
}

/* Returns true if the links are where this file takes them to be, as far as CPython can be asked. */
static bool is_linked(struct links *state, struct links *previous) {
    return state->previous == previous && state->next == next_of(state) && (!previous || next_of(previous) == state) &&
           (!state->next || state->next->previous == state);
}

/* Sets the head of the interpreter's list, and finds it as the word that PyInterpreterState_ThreadHead reads. Returns
 * false if there is no such word. */
static bool set_head(PyInterpreterState *interp, struct links *from, struct links *to) {
    enum { WORDS_SOUGHT = 32768, WORDS_READ = 64 };
    struct links *words[WORDS_READ];
    struct links **at = (struct links **)interp;
    for (size_t i = 0; i < WORDS_SOUGHT; i += WORDS_READ, at += WORDS_READ) {
        if (!thread_read_memory(at, words, sizeof words)) {
            return false;
        }
        for (size_t word = 0; word < WORDS_READ; word++) {
            if (words[word] != from) {
                continue;
            }
            at[word] = to;
            if (head_of(interp) == to) {
                return true;
            }
            at[word] = from;
        }
    }
    return false;
}

static bool unlink_state(PyInterpreterState *interp, struct links *state) {
    struct links *previous = NULL;
    struct links *at = head_of(interp);
    while (at && at != state) {
        previous = at;
        at = next_of(at);
    }
    if (!at || !is_linked(state, previous)) {
        return false;
    }
    struct links *next = state->next;
    if (!previous && !set_head(interp, state, next)) {
        return false;
    }
    if (previous) {
        previous->next = next;
    }
    if (next) {
        next->previous = previous;
    }
    return true;
}

static void hide(PyInterpreterState *interp, const PyThreadState *attached, PyThreadState *state) {
    if (state && state != attached && hidden_count < HIDDEN_MAX && unlink_state(interp, (struct links *)state)) {
        is_marked[hidden_count] = pauses_mark(state);
        hidden[hidden_count++] = (struct links *)state;
    }
}

void fork_states_hide(const PyThreadState *attached, const struct list *blocks, PyThreadState *home) {
    PyInterpreterState *interp = attached ? interp_main() : NULL;
    if (!interp || interp_of(attached) != interp) {
        return; /* a fork in C: CPython is not told, or refuses */
    }
    const struct block *block = blocks->items;
    for (uint32_t i = 0; i < blocks->count; i++) {
        hide(interp, attached, block[i].state);
        hide(interp, attached, block[i].is_beneath_lost ? NULL : block[i].beneath);
    }
    hide(interp, attached, home);
}

void fork_states_show(void) {
    PyInterpreterState *interp = hidden_count ? interp_main() : NULL;
    struct links *behind = interp ? head_of(interp) : NULL;
    while (behind && hidden_count) {
        struct links *state = hidden[--hidden_count];
        struct links *next = behind->next;
        if (is_marked[hidden_count]) {
            pauses_unmark((PyThreadState *)state);
        }
        state->previous = behind;
        state->next = next;
        behind->next = state;
        if (next) {
            next->previous = state;
        }
    }
}

void fork_states_forget(void) {
    hidden_count = 0;
}
