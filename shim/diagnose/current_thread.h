/* What the calling thread has attached, for those who only look: no lock is taken and nothing is changed. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* The state attached on this thread; NULL: none, or (up to 3.11) one that can't be told from another thread's.
 * Async-signal-safe. */
PyThreadState *current_thread_attached(void);

/* Certainly none: also where another thread's state can't be told from ours, false. */
bool current_thread_is_detached(void);

/* Notes, at its first call, whether this thread is one of CPython's own: whether it had a state attached already, which
 * nobody saw. */
void current_thread_note_call(void);

/* Whether it is not one of those, as far as it has made a call. */
bool current_thread_is_foreign(void);

/* Attached, in the gilstate slot, and the interpreter in the midst of its life: CPython's getters may be used. */
bool current_thread_can_ask(void);
