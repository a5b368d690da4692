/* Where CPython keeps the attached state, found once so that the fast path can look without a call. Only a shortcut:
 * where it can't be found, interp_current() is asked. */
#pragma once

#include "cpython.h"

/* A word that holds what interp_current() answers on the calling thread. */
typedef PyThreadState *const volatile current_place;

/* Looks for it, once. `attached` must be attached to this thread, and in its slot: the GIL is held, and stays held. Up
 * to 3.11 CPython is made to believe for a moment, with signals blocked, that nothing is attached. */
void current_learn(PyThreadState *attached);

/* The place for the calling thread, checked against interp_current(); NULL if it is not known. */
current_place *current_find(void);

/* Another CPython may have it elsewhere. */
void current_forget(void);
