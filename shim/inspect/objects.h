/* The objects that the target has loaded. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "inspect/target.h"

/* Finds them. To be called once, before everything else that asks for them. */
void objects_find(void);

/* Returns the object that holds the address, or NULL. */
const struct target_object *objects_at(uintptr_t address);

/* Returns the object whose file has this name ("libc.so.6"), or NULL. */
const struct target_object *objects_named(const char *name);

/* Returns the executable, or NULL if it is not known. */
const struct target_object *objects_executable(void);
