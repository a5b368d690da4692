/* The rules about the gilstate slot: which state it has to name, when, and what it gets back.
 *
 * Up to 3.11 the first state of a thread keeps the slot, so it is moved: to T before the attach of T, and back at every
 * detach of T, not only when T is deleted (an attach that nobody sees would meet the wrong slot). From 3.12 on the slot
 * follows by itself and is written only where CPython's own bookkeeping was damaged across threads. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* Makes the slot name `state`, which this thread has attached or is about to (up to 3.11). False if it does not name
 * it afterwards: the repair is switched off, or the slot can't be written. The GIL need not be held. */
bool settle_slot(struct owner *me, PyThreadState *state, const void *caller);

/* Before a real attach of `state`, whatever is attached. In debug builds from 3.12 on: if CPython notes that it is in some
 * thread's slot (bound.h), it has to be in this thread's before the attach, or tstate_activate asserts. */
void settle_take(struct owner *me, PyThreadState *state, const void *caller);

/* The same with nothing attached; not if the slot need not be looked after. */
void settle_before_attach(struct owner *me, PyThreadState *state, const void *caller);

/* Deletes `state` with another one attached. From 3.12 on a state that is in some slot takes whatever is in *this* thread's
 * slot with it: that is put back, and true returned. `is_in_some_slot`: it is put into this one before, since debug builds
 * assert that it is the state itself that it takes out (unbind_gilstate_tstate). */
bool settle_delete(PyThreadState *state, bool is_in_some_slot);

/* After a real attach: from 3.12 on looks whether the slot followed. Nothing to do before 3.12. */
void settle_after_attach(PyThreadState *state, const void *caller);

/* `state` is about to be detached, or just was: the slot gets back what it held before. */
void settle_detach(struct owner *me, PyThreadState *state);

/* The state that this thread has, attached or not: the attached one; else the one it saved away last if the slot does
 * not say better; NULL if it has none. What Ensure would use, and what a library's key answers. From 3.12 on takes a state out
 * of the slot that other threads use in turn (owner_is_in_turn). */
PyThreadState *settle_own_state(struct owner *me);

/* The choice between the state in the slot and the one saved last (either may be NULL), with nothing attached.
 * Async-signal-safe. */
PyThreadState *settle_choose(PyThreadState *in_slot, PyThreadState *saved);
