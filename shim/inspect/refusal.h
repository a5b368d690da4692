/* Saying why a process or a core file can't be looked at. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Writes the reason, cut to `capacity` bytes with the 0 byte. `format` is as for printf. Always returns false, for `return refuse(...)`. Not async-signal-safe. */
__attribute__((format(printf, 3, 4))) bool refuse(char *reason, size_t capacity, const char *format, ...);
