/* Which line of the source an instruction of a code object belongs to, from the code object's table in the target. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct interpreter_cpython;

/* Returns the line of the instruction at `at`, a byte offset in the bytecode of the code object at `code` (-1 or less: before
 * the first instruction). Returns -1 if it has none, or the table can't be read. */
int code_lines_find(const struct interpreter_cpython *cpython, uintptr_t code, int64_t at);
