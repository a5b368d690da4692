/* File names in options: %p is the pid, %h the host, %e the program, %% a percent sign. */
#pragma once

#include "text.h"

/* Adds the name with its signs replaced; one without %p gets .PID appended, so that each process has a file of its own.
 * Async-signal-safe. */
void path_expand(struct text *text, const char *pattern);
