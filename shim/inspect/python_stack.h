/* The Python stack of a thread state of the target, read from its memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct interpreter_cpython;

enum { PYTHON_STACK_FRAMES = 100 /* as faulthandler's */ };

/* Writes the stack of the state at `state` into `buffer`, innermost frame first, as faulthandler prints it:
 *
 *   File "program.py", line 12 in worker
 *
 * each line with two blanks in front and a line feed behind it. Characters other than printable ASCII are escaped as
 * faulthandler escapes them (\xe9, \u20ac, \U0001f40d), and strings are cut, with "..." behind them. After
 * PYTHON_STACK_FRAMES frames, or if the stack can't be read to its end, the last line is "  ...". `???` stands for what
 * can't be read. A line that doesn't fit into `capacity` is left out, with all that follow.
 *
 * Returns NULL, or the reason why there is no stack: the state is not in Python code, or can't be read. `buffer` is a
 * string in either case. While the target runs, frames come and go, and what is read may be out of date or mixed; it is
 * never more than wrong lines. */
const char *python_stack_read(const struct interpreter_cpython *cpython, uintptr_t state, char *buffer,
                              size_t capacity);

/* Returns true if the state is in Python code: its stack has at least one frame. */
bool python_stack_is_there(const struct interpreter_cpython *cpython, uintptr_t state);
