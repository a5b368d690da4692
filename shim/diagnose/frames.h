/* The native stack of the calling thread, also inside malloc, a signal handler, or with the loader's lock held: libgcc's
 * unwinder is used if the process has it already (backtrace(3) would load it), else the stack is searched for what looks
 * like return addresses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Fills `frames` with return addresses, innermost first. *is_guess: old ones may be among them; the search then begins
 * above `frame`, the frame address of the function that was called from outside (NULL: right here, or where the thread has
 * gone aside). Returns how many. Takes some KiB of stack: see aside.h. */
size_t frames_here(void **frames, size_t capacity, const void *frame, bool *is_guess);
