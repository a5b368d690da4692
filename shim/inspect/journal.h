/* The journal of a target that has the shim. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Copies it, so that journal/journal_read.c can read it. To be called when the objects are known; again, when it is to be
 * read again. Returns false if there is none: the target was started without the shim, or the shim's file has no symbols,
 * or is of another version. */
bool journal_take(void);

/* Returns the time (ticks) of the last that the journal has: until then, at least, the process lived. 0: there is none. */
uint64_t journal_latest(void);
