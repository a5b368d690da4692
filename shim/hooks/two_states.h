/* Up to 3.11: PyEval_SaveThread and RestoreThread, ReleaseThread and AcquireThread on a thread that has two states, or one that
 * another thread has made for it, of which the slot was moved to the attached one. By the rules (attach.c) each of them looks
 * anew at whose the state is, where the slot lies and which blocks end, 150 to 350 ns a pair. Nothing of that changes between
 * two calls unless a rule is asked or the epoch moves on; so the first pair goes by the rules, and those that follow it only
 * move the slot and note the release block, which leaves the record as the rules would.
 *
 * 2.7 has its slots in a list behind a lock, and moving one takes a node of it and malloc. There the slot stays where it is
 * until a rule is asked on this thread, which finds it moved: whoever asks for it comes by our wrappers, since 2.7 itself
 * looks at it in PyGILState_* only, and when it deletes a state. (Debug builds do at each attach: they go by the rules.)
 *
 * No locks; nothing here calls into CPython but its getters, and two_states_move_late. Not async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "states/late_slot.h"

/* Before a real PyEval_SaveThread (NULL) or ReleaseThread (its argument): the slot has gone back, and a release block is open.
 * False, and nothing has changed: it has to go by the rules. */
bool two_states_save(const PyThreadState *released);

/* Before a real PyEval_RestoreThread or AcquireThread of `state`, in the same way. */
bool two_states_restore(PyThreadState *state, bool is_acquire, const void *caller);
