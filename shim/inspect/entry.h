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

/* Returns true if the thread is inside CPython, in whichever function. */
bool entry_is_inside(const struct stack *stack, const struct elf_object *python);

/* Finds who has most likely attached the state that a thread holds which waits in PyGILState_Ensure: if Python code runs under that
 * state (`has_frame`), the innermost library outside that code; otherwise the library that called the one that waits, if both
 * are inside of all Python code. Returns an address in it, or NULL if the stack shows none. */
const void *entry_find_attacher(const struct stack *stack, const struct elf_object *python, bool has_frame);
