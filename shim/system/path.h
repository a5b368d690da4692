/* File names in options: %p is the pid, %h the host, %e the program, %% a percent sign. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/text.h"

/* Notes the program's name. Later it may be gone: programs overwrite it with their titles, which may contain what
 * others have sent them. Constructor only. */
void path_start(void);

/* Adds `pattern` with its signs replaced. Without %p, .PID is appended, so that each process has a file of its own; it
 * is not appended to the name of an existing device or folder. No replacement has a slash or a control character in it,
 * or begins with a dot. Ends the text. Returns false if it does not fit. Async-signal-safe. */
bool path_expand(struct text *text, const char *pattern);

/* Puts the current folder in front of a relative name, so that it names the same file after the program has changed its
 * folder. If `is_pattern`, each % in the folder's name is doubled, so that it is no sign. `size` is the size of `path`
 * in bytes. Returns false if the name does not fit or the folder has been deleted; errno says which (ENAMETOOLONG,
 * ENOENT). Constructor only. */
bool path_make_absolute(char *path, size_t size, bool is_pattern);

/* Returns true if `path` names a character device. Async-signal-safe. */
bool path_is_device(const char *path);
