/* Which module a call came from, and what each module did with the GIL. Lock-free; names are kept, so that a module that
 * has been closed since is still named, and one that is opened again, wherever, is the same (by its file's name).
 *
 * Totals are written while the GIL is held, without atomic additions; where interpreters have a GIL each (3.12+), numbers
 * that are written at the same moment may be lost. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"

enum { MODULE_OTHERS = 0, MODULE_COUNT = 128, MODULE_NAME = 256 };

/* The module's number by a return address in it; MODULE_OTHERS where it can't be told or there are too many. A few
 * nanoseconds for an address that was seen before; the loader's lock for reading otherwise. */
unsigned modules_of(const void *caller);

/* The place that a return address is at, whatever is loaded where: the module's number << 48, and how far into the module it
 * is; for MODULE_OTHERS the address itself. The same for a library that was closed and opened again, another for one that is
 * loaded in its place now. Costs and locks: as modules_of. */
uintptr_t modules_place(const void *caller);
enum { MODULE_PLACE_BITS = 48 };

/* Its totals, to be written by the thread that holds the GIL. */
struct journal_totals *modules_totals(unsigned module);

/* Its name; NULL: no such module. */
const char *modules_name(unsigned module);

/* After fork: counting begins anew. */
void modules_reset(void);
