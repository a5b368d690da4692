/* Where CPython keeps the attached state, found once so that the fast path can look without a call. Only a shortcut:
 * where it can't be found, interp_current() is asked. */
#pragma once

#include <stdint.h>

#include "cpython/cpython.h"

/* A word that holds what interp_current() answers on the calling thread. */
typedef PyThreadState *const volatile current_place;

/* Looks for it, once. `attached` must be attached to this thread, and in its slot: the GIL is held, and stays held. Up
 * to 3.11 CPython is made to believe for a moment, with signals blocked, that nothing is attached. */
void current_learn(PyThreadState *attached);

/* The place for the calling thread, checked against interp_current(); NULL if it is not known. */
current_place *current_find(void);

/* Looks for it from a thread of our own that never uses CPython, in its own copy of CPython's thread-locals (3.12+, not opened
 * late). */
void current_learn_aside(void);

/* The place for the thread with this pthread_self(); the global one up to 3.11. NULL if not known, or if it
 * is not in the same place on every thread. Not checked: read it as
 * memory that may be gone. */
const void *current_place_of(uintptr_t pthread);

/* Another CPython may have it elsewhere. */
void current_forget(void);
