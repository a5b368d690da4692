/* The Python stack of a thread state, taken without the GIL, for reports about an interpreter that hangs. CPython's own
 * _Py_DumpTraceback writes it. That function is made for signal handlers, but it may meet a state that is changing, so
 * it runs in a copy of the process (snapshot.h). */
#pragma once

#include <stddef.h>

#include "cpython/cpython.h"

/* Writes the stack of `state` into `buffer`, as a string of lines. Returns NULL, or the reason why there is no stack.
 * The state need not be alive: the copy checks that. For the watch thread. */
const char *pystack_take(PyThreadState *state, char *buffer, size_t capacity);
