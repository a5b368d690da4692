/* The rules about the gilstate slot: which state it has to name, when, and what it gets back.
 *
 * Up to 3.11 the first state of a thread keeps the slot, so the shim moves it: to T before the attach of T, and back at
 * every detach of T, not only when T is deleted (an attach that nobody sees would meet the wrong slot). From 3.12 on
 * CPython moves the slot, and the shim writes it only where CPython's own bookkeeping was damaged across threads. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* Makes the slot name `state`, which this thread has attached or, up to 3.11, is about to attach. Returns false if the
 * slot does not name it afterwards: the repair is switched off, or the slot cannot be written. The GIL need not be
 * held. */
bool settle_slot(struct owner *me, PyThreadState *state, const void *caller);

/* Prepares the slot for a real attach of `state`, whatever is attached. Up to 3.11 this is settle_slot. From 3.12 on
 * `state` becomes this thread's, and debug builds need more: if CPython notes that `state` is in some thread's slot
 * (bound.h), it has to be in this thread's before the attach, or tstate_activate asserts. */
void settle_take(struct owner *me, PyThreadState *state, const void *caller);

/* The same with nothing attached. Does nothing if the slot names `state` already, or is to be left alone (is_foreign in
 * blocks.h). */
void settle_before_attach(struct owner *me, PyThreadState *state, const void *caller);

/* Deletes `state`, which is not attached. From 3.12 on the deletion of a state that is in some slot empties the slot of
 * the deleting thread, whatever is in it, and debug builds assert that it is `state` itself (unbind_gilstate_tstate). This
 * function keeps the slot, or puts it right, and then returns true. If `is_in_some_slot`, but nothing is known of the note in
 * `state` (bound.h), it first puts `state` into this thread's slot. */
bool settle_delete(PyThreadState *state, bool is_in_some_slot);

/* After a real attach of `state`: from 3.12 on makes the slot name `state` if it did not follow. Does nothing up to
 * 3.11. */
void settle_after_attach(PyThreadState *state, const void *caller);

/* Gives the slot back what it held before. `state` is about to be detached, or just was. */
void settle_detach(struct owner *me, PyThreadState *state);

/* Returns the state that this thread has, attached or not: the attached one, or else the one that it saved away last
 * unless the slot names a better one, or NULL if it has none. Ensure would use this state, and a library's key answers
 * it. From 3.12 on takes a state out of the slot that other threads use in turn (owner_is_in_turn). */
PyThreadState *settle_own_state(struct owner *me);

/* Chooses between the state in the slot and the one saved last (either may be NULL), with nothing attached.
 * Async-signal-safe. */
PyThreadState *settle_choose(PyThreadState *in_slot, PyThreadState *saved);
