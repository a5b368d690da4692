/* The objects that the target has loaded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "inspect/target.h"

/* Finds them; what was found before is no longer valid. To be called before everything else that asks for them. */
void objects_find(void);

/* Returns true if code has been mapped or unmapped since they were found: the target opens or closes libraries. */
bool objects_have_changed(void);

/* Returns the object that holds the address, or NULL. */
const struct target_object *objects_at(uintptr_t address);

/* Returns the object whose file has this name ("libc.so.6"), or NULL. */
const struct target_object *objects_named(const char *name);

/* Returns the executable, or NULL if it is not known. */
const struct target_object *objects_executable(void);

/* Gives names that are this program's own in the files that are shared with the library the target's values: what its main
 * program is called. */
void objects_take_program_name(void);
