/* What CPython itself can tell a report about the calling thread: its name in Python and its Python stack. Nothing here
 * runs Python code. Nothing may be asked if the thread has no state attached. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cpython/cpython.h"

/* Copies the name that the calling thread has in Python's threading module into `name` (UTF-8, truncated). Returns
 * false if it has none, or can't be asked. The thread must have a state attached that its gilstate slot agrees with.
 * Reads through borrowed references: makes no object, sets and clears no error, and runs nothing of Python's. */
bool python_thread_name(char *name, size_t capacity);

/* Returns true if the Python stack can be had in this CPython. Async-signal-safe. */
bool python_has_traceback(void);

/* Returns a descriptor from which the Python stack of `state` can be read, in faulthandler's format, or -1 if it can't
 * be had. `state` must be attached to the calling thread. CPython only writes the stack to a descriptor, so it is cut
 * to what a pipe holds. The caller closes the descriptor; nothing waits on it. Async-signal-safe. */
int python_open_traceback(PyThreadState *state);
