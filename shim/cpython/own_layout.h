/* Where the CPython of this process has what in its structures (layout.h), for what is only found in its memory. */
#pragma once

#include <stdbool.h>

#include "cpython/layout.h"

/* Sets `*layout` to that of the CPython that is bound. From 3.13 on its own _PyRuntime.debug_offsets are asked. Returns false if
 * it is not known; the caller still has to test what it reads there. Takes no lock and allocates nothing. */
bool own_layout_find(struct layout *layout);
