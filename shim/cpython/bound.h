/* The bit of a thread state by which CPython 3.12+ notes that the state is in some thread's gilstate slot
 * (`_status.bound_gilstate` in cpython/pystate.h). Release builds tolerate a slot that is put right afterwards. Debug
 * builds assert in tstate_activate and unbind_gilstate_tstate that the state is in the slot of the calling thread when
 * the bit says that it is in one. So the bit is used, and looked for, only in debug builds from 3.12 on. In other
 * builds nothing is known, and every function here returns false. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Finds the bit, if it is not known and the slot's place is. Makes three states for the moment; the one that is made
 * while the thread's slot is empty has the bit. `attached` is the state that this thread has attached
 * (PyThreadState_Clear needs one in debug builds). Blocks signals while it works. Tries a few times in a process, not
 * more. No lock may be held. */
void bound_learn(const PyThreadState *attached);

/* Returns true if the bit's place is known. */
bool bound_is_known(void);

/* Returns true if CPython notes that `state` (alive) is in some thread's slot. Returns false if the bit's place is not
 * known. */
bool bound_is_set(const PyThreadState *state);

/* Returns true if CPython notes that `state` (alive) is in no thread's slot. Returns false if the bit's place is not
 * known. */
bool bound_is_clear(const PyThreadState *state);
