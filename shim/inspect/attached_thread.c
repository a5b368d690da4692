#include "inspect/attached_thread.h"

#include <stdbool.h>
#include <string.h>

#include "inspect/interpreter.h"
#include "inspect/target.h"
#include "inspect/threads.h"

#ifdef __x86_64__

enum {
    MODULES_MAX = 256, /* objects with thread-local variables */
    WORDS = 16,        /* of each: CPython's are within the first 48 bytes */
    THREADS_MAX = 4096,
    DETACHED_MAX = 16, /* threads that are asked where they have a state that is not attached */
};

/* The places in a thread's variables: module, then word. */
struct places {
    bool has[MODULES_MAX][WORDS];
};

/* The psABI's thread control block, at pthread_self(), and glibc's dtv_t. */
struct thread_control_block {
    uintptr_t self, dtv, again;
};
struct dtv {
    uintptr_t value, to_free;
};

/* Finds the places that have `value` in the thread with this descriptor, other than those in `except`. Adds them to `found`.
 * Returns true if there is one. */
static bool search(uintptr_t pthread, uintptr_t value, const struct places *except, struct places *found) {
    struct thread_control_block block;
    struct dtv dtv[MODULES_MAX + 1]; /* the first one, which is not a module's, has a number in it */
    size_t count;
    bool is_found = false;
    if (!pthread || !target_read(pthread, &block, sizeof block) || block.self != pthread ||
        !target_read(block.dtv - sizeof dtv[0], &count, sizeof count)) {
        return false;
    }
    count = count < MODULES_MAX ? count : MODULES_MAX;
    if (!target_read(block.dtv, dtv, (count + 1) * sizeof dtv[0])) {
        return false;
    }
    for (size_t module = 1; module <= count; module++) {
        uintptr_t words[WORDS];
        if (!dtv[module].value || dtv[module].value == UINTPTR_MAX /* not allotted */ ||
            !target_read(dtv[module].value, words, sizeof words)) {
            continue;
        }
        for (size_t word = 0; word < WORDS; word++) {
            if (words[word] == value && !(except && except->has[module - 1][word])) {
                is_found = true;
                if (found) {
                    found->has[module - 1][word] = true;
                }
            }
        }
    }
    return is_found;
}

/* The places where threads keep a state that is not attached: 3.15's gilstate slot, and what libraries remember. Sets
 * `*distance` to that from a thread's descriptor to the address that the kernel knows of it; 0: not known. */
static void find_other_places(const struct interpreter_picture *picture, const struct interpreter_state *attached,
                              struct places *places, uintptr_t *distance) {
    unsigned asked = 0;
    *distance = 0;
    memset(places, 0, sizeof *places);
    for (size_t i = 0; i < picture->state_count && asked < DETACHED_MAX; i++) {
        const struct interpreter_state *state = &picture->states[i];
        if (state->tid && !*distance && threads_descriptor(state->tid) > state->pthread) {
            *distance = threads_descriptor(state->tid) - state->pthread;
        }
        if (state->tid && state != attached && state->attachment == STATE_DETACHED) {
            search(state->pthread, state->address, NULL, places);
            asked++;
        }
    }
}

pid_t attached_thread_find(const struct interpreter_picture *picture, const struct interpreter_state *state) {
    static pid_t tids[THREADS_MAX];
    struct places others;
    uintptr_t distance;
    pid_t found = 0;
    find_other_places(picture, state, &others, &distance);
    if (state->tid && search(state->pthread, state->address, &others, NULL)) {
        return state->tid;
    }
    size_t count = distance ? target_threads(tids, THREADS_MAX) : 0;
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        uintptr_t known = threads_descriptor(tids[i]);
        if (known && search(known - distance, state->address, &others, NULL)) {
            if (found) {
                return 0;
            }
            found = tids[i];
        }
    }
    return found;
}

#else

pid_t attached_thread_find(const struct interpreter_picture *picture, const struct interpreter_state *state) {
    (void)picture;
    (void)state;
    return 0;
}

#endif
