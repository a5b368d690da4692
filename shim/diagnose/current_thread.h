/* What the calling thread has attached, for code that only reads: takes no lock and changes nothing. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Returns the state attached on this thread. Returns NULL if there is none, or (up to 3.11) if it cannot be told from
 * another thread's. Async-signal-safe. */
PyThreadState *current_thread_attached(void);

/* Whether the calling thread has the GIL. */
enum current_thread_gil { CURRENT_THREAD_UNKNOWN, CURRENT_THREAD_HAS_GIL, CURRENT_THREAD_HAS_NO_GIL };

/* Tells whether the calling thread has the GIL, and stores the state that it has attached in *state (NULL: none). For the
 * handler of a crash: unlike current_thread_attached, asks no getter that may take a lock (2.7) or make this thread's
 * copy of CPython's thread-locals, and does not take a state for attached that the thread waits to attach. Memory of a
 * state is read only as memory that may be gone. */
enum current_thread_gil current_thread_find_gil(PyThreadState **state);

/* Returns true if current_thread_attached() is not NULL. For frequent use: up to 3.11 it remembers what it found as long
 * as the thread notes no event. False without a CPython. Async-signal-safe as current_thread_attached. */
bool current_thread_has_gil(void);

/* Returns true if certainly no state is attached on this thread. Returns false also if the attached state cannot be
 * told from another thread's. */
bool current_thread_is_detached(void);

/* At its first call on a thread, notes whether CPython made the thread: it then has a state attached, and that attach
 * was not seen. */
void current_thread_note_call(void);

/* Returns true if current_thread_note_call has found that CPython did not make this thread. */
bool current_thread_is_foreign(void);

/* Returns true if CPython's getters may be used: the attached state is in the gilstate slot, and the interpreter is
 * initialized and not finalizing. */
bool current_thread_can_ask(void);
