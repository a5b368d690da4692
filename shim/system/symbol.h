/* Names for addresses: module!function+offset, for reports. Static functions are named where the module's file still has
 * its .symtab; C++ names are shown in their short form, foo::bar for _ZN3foo3barEv.
 *
 * Nothing here allocates or takes a lock, so all of it works while the rest of the process hangs, and of an address in a
 * library that is closed meanwhile, or has been, no more is read than is there (glimpse.h). Not async-signal-safe: files are
 * opened and mapped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/elf.h"
#include "system/text.h"

/* Adds "module!function+0x12", or "module!+0x1234" (from the module's load address) where no function is known, or the
 * bare address where no module is. `address` is a return address: the call before it is what is named. */
void symbol_add(struct text *text, const void *address);

/* Adds the name of the object that holds `address` ("libfoo.so.1"), or "?". */
void symbol_add_object(struct text *text, const void *address);

/* The same with the package where the file's name does not tell whose it is: "h5py/defs.cpython-311-x86_64-linux-gnu.so",
 * the path below site-packages or dist-packages. */
void symbol_add_library(struct text *text, const void *address);

/* Whether the function that holds the return address has this name, as the linker knows it. */
bool symbol_is(const void *address, const char *name);

/* Where a function of the object, which stays, begins that is not exported, by the .symtab of its file; NULL if it can't be told. */
void *symbol_find_hidden(const struct elf_object *object, const char *name);

/* Adds a linker's name, C++'s in the short form: without parameters, template arguments as "<...>". What is not
 * understood is added as it is. Async-signal-safe. */
void symbol_add_demangled(struct text *text, const char *name);
