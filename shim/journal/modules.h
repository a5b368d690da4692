/* Which module a call came from, and what each module did with the GIL. Takes no lock of its own. Names are kept: a
 * module that has been closed since keeps its name, and a module that is opened again at any address is the same one
 * (by its file's name).
 *
 * Totals are written with the GIL held, without atomic additions unless journal_is_parallel. Where each interpreter has its own GIL
 * (3.12+), additions made at the same moment may be lost. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"

enum { MODULE_OTHERS = 0, MODULE_COUNT = 128, MODULE_NAME = 256 };

/* Returns the number of the module that contains the return address `caller`, or MODULE_OTHERS if it is not known or
 * there are too many modules. Takes a few nanoseconds for an address that was seen before; otherwise as slow as
 * loader_find, and with its locks. */
unsigned modules_of(const void *caller);

/* Returns where a return address is, independent of load addresses: the module's number << 48 plus the offset in the
 * module; for MODULE_OTHERS the low 48 bits of the address. It stays the same for a library that is closed and opened
 * again, and differs for another one that is loaded in its place. Cost and locks: as modules_of. */
uintptr_t modules_place(const void *caller);
enum { MODULE_PLACE_BITS = 48 };

/* Returns the totals of a module. Only the thread that holds the GIL may write them. */
struct journal_totals *modules_totals(unsigned module);

/* Returns the name of a module, or NULL if there is no such module. */
const char *modules_name(unsigned module);

/* Called after fork: resets all totals. */
void modules_reset(void);
