/* The machine code of calls (x86-64, AArch64): whether an address is one that a call returns to, and what was called there. It is read
 * as the memory of other threads is (thread_read_memory), since the code may be unloaded meanwhile. No malloc, no locks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Returns true if the bytes before `address` can be a call instruction. */
bool call_site_is_before(uintptr_t address);

/* Returns the function that the call before the return address calls, also if it goes through the procedure linkage table. Returns
 * 0 if it is only known at run time. */
uintptr_t call_site_callee(uintptr_t address);
