/* The Python stack of a thread state, without the GIL, for reports about an interpreter that hangs: CPython's own
 * _Py_DumpTraceback, which is made for signal handlers but may meet a state that changes under its eyes, run in a copy of
 * the process (snapshot.h). */
#pragma once

#include <stddef.h>

#include "cpython/cpython.h"

/* Writes the stack of `state` into `buffer`, a string of lines. Returns NULL, or why there is none. The state need not be
 * alive; the copy looks. For the watch thread. */
const char *pystack_take(PyThreadState *state, char *buffer, size_t capacity);
