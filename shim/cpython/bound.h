/* The bit of a thread state by which CPython 3.12+ notes that the state is in some thread's gilstate slot
 * (`_status.bound_gilstate` in cpython/pystate.h). Release builds tolerate a slot that is put right afterwards. Debug
 * builds assert in tstate_activate and unbind_gilstate_tstate that the state is in the slot of the calling thread when
 * the bit says that it is in one. So the bit is used, and looked for, only in debug builds from 3.12 on. In other
 * builds nothing is known, and every function here returns false. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Returns true if bound_learn can do something now. It tries a few times in a process, not more. Cheap. */
bool bound_is_wanted(void);

/* The same, in a free-threaded build. Then bound_learn lets other threads run: it is only to be called where the caller's
 * own call does so, too, because it attaches or detaches. */
bool bound_is_wanted_in_turn(void);

/* Finds the bit. `attached` is the state that this thread has attached. Makes three states for the moment; the one that is
 * made while the thread's slot is empty has the bit. Blocks signals while it works. (PyThreadState_Clear needs an attached
 * state in debug builds.) In a free-threaded build it makes two, neither of which has the bit, and detaches `attached`, which
 * has it, for a moment; not while that is the interpreter's only state. No lock may be held. */
void bound_learn(PyThreadState *attached);

/* Returns true if the bit's place is known. */
bool bound_is_known(void);

/* Returns true if CPython notes that `state` (alive) is in some thread's slot. Returns false if the bit's place is not
 * known. */
bool bound_is_set(const PyThreadState *state);

/* Returns true if CPython notes that `state` (alive) is in no thread's slot. Returns false if the bit's place is not
 * known. */
bool bound_is_clear(const PyThreadState *state);

/* Notes that `state` is in no slot, for PyThreadState_Delete on another thread than the one whose slot it is in. To be called
 * when nothing but that call is going to use it. */
void bound_clear(PyThreadState *state);
