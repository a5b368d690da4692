/* A bit of a thread state by which CPython 3.12+ notes that the state is in some thread's gilstate slot
 * (`_status.bound_gilstate` in cpython/pystate.h). Release builds live with a slot that is put right afterwards; debug
 * builds assert in tstate_activate and unbind_gilstate_tstate that the state is in the slot of the calling thread when
 * the bit says that it is in one. Of use, and looked for, in debug builds from 3.12 on only; elsewhere nothing is known
 * and every answer is no. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Finds the bit, if it is not known and the slot's place is: by three states made for the moment, of which the
 * one that a thread with an empty slot made has it. `attached` is what this thread has attached (PyThreadState_Clear asks
 * for it in debug builds). Blocks signals meanwhile. Tried a few times in a process, not more. No lock may be held. */
void bound_learn(const PyThreadState *attached);

/* Whether the bit's place is known. */
bool bound_is_known(void);

/* Whether CPython notes that `state` (alive) is in some thread's slot. False where that is not known. */
bool bound_is_set(const PyThreadState *state);

/* Whether CPython notes that `state` (alive) is in no thread's slot. False where that is not known. */
bool bound_is_clear(const PyThreadState *state);
