/* What the file of a loaded object says about an address: the names of functions and variables that are not exported, if
 * the file still has its .symtab. Opens and maps the file, so it is not async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/glimpse.h"

/* Like glimpse_symbol_at, but by the file's .symtab. Returns false also if the file is not the one that was loaded, or
 * can't be read. */
bool symbol_file_at(const struct glimpse *object, const void *address, unsigned type, char *name, size_t capacity,
                    size_t *offset);
