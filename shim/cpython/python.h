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

/* Returns the function of CPython that writes the traceback of a thread to a file descriptor; NULL: none can be found. 3.6 to
 * 3.8, 3.11 and 3.12 export it. In 3.9, 3.10, 3.13 and 3.14 it is hidden: the .symtab of the file has it, unless the file is
 * stripped. From 3.15 on it is public, and returns what went wrong, which nobody needs here. 2.7 has no such function. The first
 * call after each binding looks it up (symbol_find_hidden); it is async-signal-safe from the second one on. */
typedef void python_dump(int fd, PyThreadState *state);
python_dump *python_traceback_dump(void);

/* Returns true if the Python stack can be had in this CPython. Async-signal-safe. */
bool python_has_traceback(void);

/* Returns a descriptor from which the Python stack of `state` can be read, in faulthandler's format, or -1 if it can't
 * be had. `state` must be attached to the calling thread. CPython only writes the stack to a descriptor, so it is cut
 * to what a pipe holds. The caller closes the descriptor; nothing waits on it. Async-signal-safe. */
int python_open_traceback(PyThreadState *state);
