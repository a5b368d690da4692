/* The native stack of the calling thread. Also works inside malloc, in a signal handler, and with the loader's lock
 * held: uses libgcc's unwinder if the process has already loaded it (backtrace(3) would load it), and otherwise
 * searches the stack for what looks like return addresses. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Fills `frames` with return addresses, innermost first. *is_guess is set to true if they are guessed and may include
 * stale ones; the search then begins above `frame`, the frame address of the function that was called from outside
 * (NULL: the frame of this function, or of the place where the thread has gone aside). Returns how many there are.
 * Takes some KiB of stack: see aside.h. */
size_t frames_here(void **frames, size_t capacity, const void *frame, bool *is_guess);
