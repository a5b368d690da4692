/* What CPython itself can tell a report about the calling thread: its name in Python and its Python stack. Nothing that
 * runs Python code, and nothing where the thread has no state attached. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cpython/cpython.h"

/* The name of the calling thread in Python's threading module, into `name` (UTF-8, cut). False: it has none, or can't be
 * asked. The thread must have a state attached that its gilstate slot agrees with. Reads through borrowed references: makes no
 * object, sets and clears no error, runs nothing of Python's. */
bool python_thread_name(char *name, size_t capacity);

/* Whether the Python stack can be had in this CPython. Async-signal-safe. */
bool python_has_traceback(void);

/* What CPython, which writes it to a descriptor only, says of the Python stack of `state`, which must be attached to the
 * calling thread: as faulthandler has it, cut to what a pipe holds. A descriptor to read it from and to be closed by the caller;
 * nothing waits on it. -1: it can't be had. Async-signal-safe. */
int python_open_traceback(PyThreadState *state);
