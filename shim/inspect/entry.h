/* How a thread came into CPython, as its native stack shows it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diagnose/stacks.h"
#include "system/elf.h"

/* Finds the innermost way into CPython: the function of the API that a library has called, and the return address in that
 * library. *call is the function's index in real_api_names. Returns false if that is none of these functions (Python code
 * was called, and waits in the interpreter's own loop), or the stack does not show it. */
bool entry_find(const struct stack *stack, const struct elf_object *python, uint16_t *call, const void **caller);
