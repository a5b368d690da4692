/* What CPython has said when it ends the process. It keeps no record of it, but the functions of its end still have the text
 * at hand: in a register or on the stack (3.10 on, mostly), or their caller's code names it (before). */
#pragma once

#include <stddef.h>

#include "system/text.h"

/* Adds the text of Py_FatalError and its like, without the function's name and with "..." for what was put in; nothing if it
 * can't be told. `frames`: return addresses, innermost first, from abort to `culprit`, the first one outside CPython (NULL: not
 * known; then all are looked at); `frame`: the frame address of abort, on whose way the caller is,
 * aside (aside.h). Async-signal-safe. */
void fatal_text_add(struct text *text, void *const *frames, size_t count, const void *culprit, const void *frame);
