/* Strings of Python in the target, as text. */
#pragma once

#include <stdint.h>

#include "system/text.h"

struct interpreter_cpython;

enum { PYTHON_TEXT_CHARACTERS = 500 /* as faulthandler's MAX_STRING_LENGTH */ };

/* Adds the str at `object` (2.7: bytes), in ASCII: other characters are escaped as faulthandler does it. At most
 * PYTHON_TEXT_CHARACTERS of it, then "...". Adds "???" if it can't be read. */
void python_text_add(const struct interpreter_cpython *cpython, uintptr_t object, struct text *text);
