/* File names in options: %p is the pid, %h the host, %e the program, %% a percent sign. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/text.h"

/* Notes the program's name: programs write their titles over it, with what others have sent them in it. Constructor only. */
void path_start(void);

/* Adds the name with its signs replaced. Without %p, .PID is appended, so that each process has a file of its own; not to the
 * name of a device or a folder that is there. Nothing that stands for a sign has a slash, a control character or a dot at its
 * beginning. Ends the text. False: it does not fit. Async-signal-safe. */
bool path_expand(struct text *text, const char *pattern);

/* Puts the current folder in front of a relative name, so that it stays where it is when the program goes elsewhere.
 * `is_pattern`: what is a sign in `path` is none in the folder's name. False: it does not fit, or the folder has been deleted;
 * errno says which (ENAMETOOLONG, ENOENT). Constructor only. */
bool path_make_absolute(char *path, size_t size, bool is_pattern);

/* Whether the name is that of a character device. Async-signal-safe. */
bool path_is_device(const char *path);
