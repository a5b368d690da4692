/* The gear of a thread that has two states, or one that another thread has made for it, where the slot was moved to the
 * attached one (up to 3.11): PyEval_SaveThread and RestoreThread, ReleaseThread and AcquireThread. By the rules (attach.c)
 * each of them determines anew whose the state is, where the slot lies and which blocks end, which takes 150 to 350 ns a
 * pair. None of that changes between two calls unless a rule is called or the epoch moves on. So the first pair goes by the
 * rules, and the following ones only move the slot and note the release block, which leaves the record as the rules would.
 *
 * 2.7 keeps its slots in a list behind a lock, and moving one needs a node of that list, from malloc. There the slot stays as
 * it is until a rule is called on this thread, which finds it moved. Nobody misses it: 2.7 itself looks at the slot only in
 * PyGILState_*, which are wrapped, and when it deletes a state. (Debug builds look at each attach; they go by the rules.)
 *
 * Takes no locks, and calls nothing of CPython but its getters and two_states_move_late. Not async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "states/late_slot.h"

/* For the moment before a real PyEval_SaveThread (`released` NULL) or ReleaseThread (its argument): moves the slot back and opens a
 * release block. Returns false, and has changed nothing, if the call has to go by the rules. */
bool two_states_save(const PyThreadState *released);

/* The same for the moment before a real PyEval_RestoreThread or AcquireThread of `state`. */
bool two_states_restore(PyThreadState *state, bool is_acquire, const void *caller);
