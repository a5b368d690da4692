/* Says what was seen. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "inspect/watch.h"

/* Explains every GIL that does not move while threads wait for it, as the stall watch does. If there is none, says in one
 * line what was seen instead. `count` must not be 0. Returns true if something was explained. */
bool explain(struct watched_python *pythons, size_t count);
