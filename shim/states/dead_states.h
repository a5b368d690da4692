/* Thread states that ended threads have left, for whoever holds the GIL next to clear and delete (keep=1). Knows nothing of
 * rules; states are just addresses here.
 *
 * All functions take a lock of their own for the time of a list access and call nothing meanwhile but mmap. None is
 * async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"

/* Leaves one. False without memory: then it stays until the interpreter ends. */
bool dead_states_add(PyThreadState *state);

/* Takes one; NULL: there is none (any more). */
PyThreadState *dead_states_take(void);

/* Whether there is any, without the lock: what others do at the moment may not be seen yet. */
extern uint32_t dead_states_count __attribute__((visibility("hidden")));
static inline bool dead_states_is_there(void) {
    return __atomic_load_n(&dead_states_count, __ATOMIC_RELAXED) > 0;
}

/* They are gone with the interpreter, or in the child of a fork. */
void dead_states_forget(void);

/* Around fork: the list must not be half-written in the child. */
void dead_states_before_fork(void);
void dead_states_after_fork(void);
