/* Thread states that ended threads have left. The thread that holds the GIL next clears and deletes them (keep=1).
 * Knows nothing of rules; states are just addresses here.
 *
 * All functions take a lock of their own while they use the list, and call nothing but mmap and munmap while they hold
 * it. None is async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"

/* Adds a state. Returns false without memory; the state then stays until the interpreter ends. */
bool dead_states_add(PyThreadState *state);

/* Removes a state and returns it, or NULL if there is none. */
PyThreadState *dead_states_take(void);

/* Returns true if there is a state. Takes no lock, so a change that another thread is making may not be seen yet. */
extern uint32_t dead_states_count __attribute__((visibility("hidden")));
static inline bool dead_states_is_there(void) {
    return __atomic_load_n(&dead_states_count, __ATOMIC_RELAXED) > 0;
}

/* Empties the list: the states are gone with the interpreter, or CPython frees them in the child of a fork. */
void dead_states_forget(void);

/* Called around fork: the list must not be half-written in the child. */
void dead_states_before_fork(void);
void dead_states_after_fork(void);
