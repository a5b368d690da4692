/* Where CPython keeps the attached state. It is found once, so that the fast path can look without a call. This is only
 * a shortcut: if the place can't be found, interp_current() is asked. */
#pragma once

#include <stdint.h>

#include "cpython/cpython.h"

/* A word that holds what interp_current() returns on the calling thread. */
typedef PyThreadState *const volatile current_place;

/* Looks for the place, once. `attached` must be attached to this thread, and be in its slot. The GIL must be held, and
 * stays held. Up to 3.11, CPython is made to believe for a moment, with signals blocked, that nothing is attached. */
void current_learn(PyThreadState *attached);

/* Returns the place for the calling thread, or NULL if it is not known. A thread-local (3.12+) is checked against
 * interp_current(). */
current_place *current_find(void);

/* Looks for the place from a thread of our own that never uses CPython, in that thread's own copy of CPython's
 * thread-locals (3.12+). What it finds in a libpython that was opened late is only for current_place_of. */
void current_learn_aside(void);

/* Returns the place for the thread with this pthread_self(); up to 3.11 that is the global one. Returns NULL if it is
 * not known, or if the thread has no copy of it: in a libpython that was opened late or with an auditor (LD_AUDIT) it is
 * made at first use. The place is not checked: read it as memory that may be gone. */
const void *current_place_of(uintptr_t pthread);

/* Forgets the place, because another CPython may have it elsewhere. */
void current_forget(void);
