/* gilstate_counter, the field of a thread state that tells Ensure/Release (and pybind11, which counts in it by hand)
 * when the state is to be freed. It has no accessor; its place is learned by watching one nested Ensure. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

enum { COUNTER_UNKNOWN = -1 };

/* Learns the place, once. The state must be attached to this thread, and be in its slot. The GIL stays held, and the
 * counter ends as it was. */
void counter_learn(PyThreadState *attached);

/* Returns true if the place is known. */
bool counter_is_known(void);

/* The offset of the counter in a thread state, in bytes; negative: not known. */
extern int counter_offset __attribute__((visibility("hidden")));

/* Returns the counter of a state that is attached to this thread. The place must be known. */
static inline int32_t *counter_of(PyThreadState *attached) {
    return (int32_t *)(void *)((char *)attached + counter_offset);
}

/* Returns the count of a state that is alive, or COUNTER_UNKNOWN if the place is not known. */
int counter_read(const PyThreadState *state);

/* Adds `amount` to the counter without CPython's help. The state must be attached to this thread. Returns false if the
 * place is not known. */
bool counter_add(PyThreadState *attached, int amount);

/* Forgets the place, because a new CPython may lay out its states in another way. */
void counter_forget(void);
