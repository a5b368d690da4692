/* A target can have several CPythons, and a CPython several GILs. The files that are shared with the library know one. */
#pragma once

#include <stddef.h>

#include "inspect/watch.h"

/* Makes this CPython the one that reports are about: the addresses in `real`, and what holder.h and pystack.h say. `gil`:
 * which of its GILs. */
void choice_make(const struct watched_python *python, size_t gil);

/* What was chosen. */
const struct watched_python *choice_python(void);
const struct watched_gil *choice_gil(void);
