/* What CPython has said as it ends the process. CPython keeps no record of it. But the functions of its end still have
 * the text in a register or on the stack (mostly from 3.10 on), or the code of their caller loads it (before 3.10). */
#pragma once

#include <stddef.h>

#include "system/text.h"

/* Adds the text of Py_FatalError and related functions, without the function's name and with "..." for what was
 * formatted into it. Adds nothing if it cannot be told. `frames`: the return addresses, innermost first, from abort to
 * `culprit`, the first one outside CPython (NULL: not known; then all are searched). `frame`: the frame address of
 * abort. The caller is called from abort, and runs aside (aside.h). Async-signal-safe. */
void fatal_text_add(struct text *text, void *const *frames, size_t count, const void *culprit, const void *frame);
