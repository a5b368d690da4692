/* A loaded object's bytes, here: its tables can then be read as those of an object of this process. */
#pragma once

#include <stdbool.h>

#include "inspect/target.h"

/* Maps the object's file as ld.so has mapped it, if that is the file that was loaded (its program headers, its notes with
 * the build id and its table of frames are the same), or else copies the object from the target's memory. `mapping`: where
 * the file begins. `object` has start, end, and elf with bias, segments and name; the rest is filled in. An object that
 * would have to be copied and is too large, or for which there is no room beside others, has no tables then: only its place and name
 * are known. Returns false if its mirror can't be made at all. */
bool mirror_make(struct target_object *object, const struct target_mapping *mapping);

/* Gives back what mirror_make has made. */
void mirror_free(struct target_object *object);
