/* CPython's lock on its lists of interpreters and thread states (HEAD_LOCK). PyThreadState_New, and so PyGILState_Ensure of a
 * new thread, and PyThreadState_Delete take it for a moment, without the GIL. */
#pragma once

/* Frees the lock in the child of a fork if another thread had it at the fork: in the child nobody would ever free it. From 3.8
 * to 3.11 PyOS_AfterFork_Child takes it (_PyThreadState_DeleteExcept) before it makes a new one, and the child hangs in there;
 * 3.12 does it in the other order, and 3.13 holds it across the fork. What the other thread was doing to the list is left half
 * done, as in these: no order of a linking or unlinking leaves the list broken for one who goes along it.
 *
 * Does nothing if the lock is not found in _PyRuntime (2.7, 3.6), or from 3.12 on. For a child that has only this thread.
 * Takes no other lock, allocates nothing. Async-signal-safe. */
void head_lock_free_in_child(void);
