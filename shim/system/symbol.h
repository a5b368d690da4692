/* Names for addresses in reports: module!function+offset. Static functions are named if the module's file still has its
 * .symtab. C++ names are shown in their short form, foo::bar for _ZN3foo3barEv.
 *
 * Nothing here allocates or takes a lock, so all of it works while the rest of the process hangs. If a library is being
 * closed or has been closed, only memory that is there is read (glimpse.h). Not async-signal-safe, because files are
 * opened and mapped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/elf.h"
#include "system/text.h"

/* Adds "module!function+0x12". Adds "module!+0x1234" (from the module's load address) if no function is known, and the
 * bare address if no module is known. `address` is a return address: the call before it is what is named. */
void symbol_add(struct text *text, const void *address);

/* Adds the name of the object that holds `address` ("libfoo.so.1"), or "?". */
void symbol_add_object(struct text *text, const void *address);

/* Like symbol_add_object, but adds the package if the file's name does not tell it:
 * "h5py/defs.cpython-311-x86_64-linux-gnu.so", the path below site-packages or dist-packages. */
void symbol_add_library(struct text *text, const void *address);

/* Adds "module!variable" for the address of a variable, with the offset if it is not the variable's start. For the guard
 * of a static local variable of C++, adds "module!function, static variable". Adds the module alone if no variable is
 * known. Returns false, and adds nothing, if the address is in no module. */
bool symbol_add_data(struct text *text, const void *address);

/* Returns true if the exported function that holds the return address has this name, as the linker knows it. */
bool symbol_is(const void *address, const char *name);

/* Returns the start of a function of `object` that is not exported, or NULL if it can't be found. Reads the .symtab of
 * the object's file. The object must not be closed during the call. */
void *symbol_find_hidden(const struct elf_object *object, const char *name);

/* Adds a linker's name. A C++ name gets its short form: without parameters, and with template arguments as "<...>". A
 * name that is not understood is added as it is. Async-signal-safe. */
void symbol_add_demangled(struct text *text, const char *name);
