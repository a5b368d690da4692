/* The journal of a target that has the shim. */
#pragma once

#include <stdbool.h>

/* Copies it, so that journal/journal_read.c can read it. To be called when the objects are known; again, when it is to be
 * read again. Returns false if there is none: the target was started without the shim, or the shim's file has no symbols,
 * or is of another version. */
bool journal_take(void);
