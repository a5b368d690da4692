/* Calls that ld.so makes in the place of the program, because an auditor (LD_AUDIT) watches returns (la_pltexit). On AArch64
 * the unwind information of such a call is wrong (glibc 2.36): ld.so copies the stack's arguments, and does not say so. An
 * unwinder that goes past it takes other words of the stack for the caller's registers, and may crash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Returns true if `back`, a return address on the stack, is that of such a call, so that nobody may unwind past it.
 * Always false where unwinders can. */
bool audited_call_is(const void *back);

/* Where such a call was made from, and the callers of that: `frame` is the value of x29 in the frame to which the call
 * returns. Stores up to `capacity` return addresses, innermost first, as the records of frames have them. Returns how
 * many. */
size_t audited_call_from(uintptr_t frame, void **frames, size_t capacity);
