#include "inspect/refusal.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(char *reason, size_t capacity, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, capacity, format, arguments); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(arguments);
    return false;
}
