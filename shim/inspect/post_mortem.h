/* A core file explained, from beginning to end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Opens the core file (core.h) and says what it was: a crash, a stall, or neither. Stores in *is_explained whether it was one of
 * the first two. Returns false if the core file can't be looked at, with the reason in one line. */
bool post_mortem(const char *path, const char *program, const char *root, bool *is_explained, char *reason,
                 size_t capacity);
