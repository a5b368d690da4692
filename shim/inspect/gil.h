/* How a GIL of the target's is called: see cpython/gil.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inspect/interpreter.h"

/* Returns the id of the interpreter that this GIL of the picture was made for; GIL_NOT_TOLD if there is one GIL only. */
int64_t gil_id(const struct interpreter_picture *picture, size_t gil);
