/* What only /proc says about the target's threads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Returns for how long (ns) the thread has not run, from the kernel's scheduler statistics; 0: it runs, or the kernel
 * does not say (CONFIG_SCHED_DEBUG), or this process may not run on the processor where the thread has last run. The calling
 * thread runs there for a moment. Right to some milliseconds. */
uint64_t threads_still_for(pid_t tid);

/* Returns an address in the thread's descriptor (glibc's struct pthread), above its stack; 0: not known. */
uintptr_t threads_descriptor(pid_t tid);

/* Returns the address at which the main thread's stack began; 0: not known. */
uintptr_t threads_start_of_stack(void);
