/* gilstate_counter, the field of a thread state by which Ensure/Release (and pybind11, which counts in it by hand) know
 * when it is to be freed. It has no accessor; its place is learned by watching one nested Ensure. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

enum { COUNTER_UNKNOWN = -1 };

/* Learns the place, once. The state must be attached to this thread, and in its slot; the GIL stays held, the counter
 * ends as it was. */
void counter_learn(PyThreadState *attached);

/* Whether it is known. */
bool counter_is_known(void);

/* Of the counter in a thread state, in bytes; negative: not known. */
extern int counter_offset __attribute__((visibility("hidden")));

/* The counter of a state that is attached to this thread, where its place is known. */
static inline int32_t *counter_of(PyThreadState *attached) {
    return (int32_t *)(void *)((char *)attached + counter_offset);
}

/* The count of a state that is alive; COUNTER_UNKNOWN if the place could not be learned. */
int counter_read(const PyThreadState *state);

/* Counts without CPython's help. The state must be attached to this thread. False if the place is not known. */
bool counter_add(PyThreadState *attached, int amount);

/* A new CPython may lay it out in another way. */
void counter_forget(void);
