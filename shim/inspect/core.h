/* A core file as the target: of a process that has crashed, or was ended or copied while it hung. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "inspect/core_image.h"

/* Makes the core file the target. `program` and `root`: as for core_files_use; may be NULL. Returns false if it can't be
 * read, and writes one line into `reason` that says why, and what would help. */
bool core_open(const char *path, const char *program, const char *root, char *reason, size_t capacity);

/* Returns what the core file says, or NULL if the target is another one. */
const struct core_image *core_image(void);
