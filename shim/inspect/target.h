/* The process, or the core file, that is looked at from outside: its memory, the objects that are loaded in it, and its
 * threads. All addresses are the target's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An object that is loaded in the target. */
struct target_object;

/* Reads `size` bytes at `address`. Returns false unless all of it could be read. */
bool target_read(uintptr_t address, void *to, size_t size);

/* Reads a string that ends with a 0 byte, cut to `capacity` - 1 bytes. Returns false if its first byte can't be read. */
bool target_read_string(uintptr_t address, char *to, size_t capacity);

/* Sets `*all` to all loaded objects, in the order of their addresses. Returns how many there are. */
size_t target_objects(const struct target_object **all);

/* Finds a name in the object's .dynsym, then in its .symtab. Returns false if it is not there. `size` may be NULL. */
bool target_symbol(const struct target_object *object, const char *name, uintptr_t *address, size_t *size);

/* Writes the ids of the threads into `tids`. Returns how many there are, which may be more than `capacity`. */
size_t target_threads(pid_t *tids, size_t capacity);
