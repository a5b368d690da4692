/* CPython's lock on its lists of interpreters and thread states (HEAD_LOCK). PyThreadState_New, and so PyGILState_Ensure of a
 * new thread, and PyThreadState_Delete take it for a moment, without the GIL. */
#pragma once

#include <stdbool.h>

/* Returns true if a child needs it to be freed, which is so up to 3.11: from 3.8 on PyOS_AfterFork_Child takes it
 * (_PyThreadState_DeleteExcept) before it makes a new one, and the child of a fork that met another thread with the lock hangs in
 * there. 3.12 does it in the other order, and 3.13 holds the lock across the fork. */
bool head_lock_is_needed(void);

/* Returns true if the place of the lock is known, which it is not in 2.7 and 3.6, nor before Python is initialized. */
bool head_lock_is_known(void);

/* For a child that has only this thread, while the lock is needed and known: returns true if another thread had the lock at the
 * fork, so that nobody will free it. Takes no other lock, allocates nothing. Async-signal-safe. */
bool head_lock_was_left(void);

/* Returns an address in the function that would wait for it, CPython's own: what is to be suspected. NULL: there is none. */
const void *head_lock_taker(void);

/* Frees such a lock. What the other thread was doing to a list stays half done, as it does in 3.12: whichever link was set last,
 * the list can be gone along. Async-signal-safe. */
void head_lock_free(void);
