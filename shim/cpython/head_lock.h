/* CPython's lock on its lists of interpreters and thread states (HEAD_LOCK). PyThreadState_New, and so PyGILState_Ensure of a
 * new thread, and PyThreadState_Delete take it for a moment, without the GIL. Here is what a fork makes of that.
 *
 * Nothing here allocates. Async-signal-safe, as a fork is. */
#pragma once

#include <stdbool.h>

/* Returns true if a child may wait for the lock forever, because another thread had it at the fork. From 3.8 to 3.11
 * PyOS_AfterFork_Child takes it (_PyThreadState_DeleteExcept) before it makes a new one; 2.7 and 3.6 never make a new one, so the
 * child hangs at its next thread. 3.7 and 3.12 make a new one first, and 3.13 holds it across the fork. */
bool head_lock_is_needed(void);

/* Returns true if the place of the lock is known: not in 2.7 and 3.6, and not before Python is initialized. */
bool head_lock_is_known(void);

/* To be called on the thread that is about to fork: finds out that it does not have the lock itself (it may be in a signal handler),
 * by taking it for a moment. Waits for the other threads, but a fifth of a second at most. */
void head_lock_before_fork(void);

/* In the child, before CPython knows of the fork: returns true if another thread had the lock, so that nobody will free it. Returns
 * false if that is not certain. */
bool head_lock_was_left(void);

/* Returns an address in the function that would wait for it, CPython's own: what is to be suspected. NULL: there is none. */
const void *head_lock_taker(void);

/* Frees such a lock, and ends what the other thread was doing to a list: CPython goes along it next, and would free this thread's
 * own state, or crash at a state that has no interpreter yet. */
void head_lock_free(void);
