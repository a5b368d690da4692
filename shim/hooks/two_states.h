/* The gear for PyEval_SaveThread and RestoreThread, ReleaseThread and AcquireThread of a thread whose slot was moved
 * (up to 3.11): it has two states, or one that another thread has made for it. The rules (attach.c) determine at each
 * call whose the state is, where the slot is and which blocks end; that takes 150 to 350 ns a pair. None of it changes
 * between two calls unless a rule is called or the epoch changes. So the first pair goes by the rules. The pairs after
 * it only move the slot and note the release block, and leave the record as the rules would leave it.
 *
 * 2.7 keeps its slots in a list under a lock, and moving one allocates a node of that list. There the slot is not moved
 * until a rule is called on this thread (two_states_move_late). Nothing reads it before: 2.7 itself reads the slot only
 * in PyGILState_*, which are wrapped, and when it deletes a state. Debug builds read it at each attach, so there calls
 * go by the rules.
 *
 * Takes no lock, and calls nothing of CPython except getters. Not async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "states/late_slot.h"

/* To be called before a real PyEval_SaveThread (`released` is NULL) or ReleaseThread (of `released`): moves the slot
 * back and opens a release block. Returns false, and has changed nothing, if the call has to go by the rules. */
bool two_states_save(const PyThreadState *released);

/* To be called before a real PyEval_RestoreThread or AcquireThread (`is_acquire`) of `state`: moves the slot to it and
 * ends its release block. `caller` is counted as a place where the repair was needed. Returns false, and has changed
 * nothing, if the call has to go by the rules. */
bool two_states_restore(PyThreadState *state, bool is_acquire, const void *caller);
