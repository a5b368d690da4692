/* What the tests of the interpreter's part have instead of shim/inspect/target.h: the same functions, and no more, so that they
 * can be about a live process (process.c) or about garbage (test_garbage.c). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target_object {
    uintptr_t bias;
    char path[512];
};

bool target_read(uintptr_t address, void *to, size_t size);
bool target_read_string(uintptr_t address, char *to, size_t capacity);
size_t target_objects(const struct target_object **all);
bool target_symbol(const struct target_object *object, const char *name, uintptr_t *address, size_t *size);
size_t target_threads(pid_t *tids, size_t capacity);
pid_t target_thread_of(pid_t id);
