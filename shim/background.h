/* Threads of the shim's own, of low priority, with all signals blocked: the stall watch, the timeline's writer. They make
 * no call into CPython that needs the GIL, and never keep a process alive. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Starts a thread that runs `run`, named `name` (at most 15 characters). Allocates. False: it could not be had. */
bool background_start(void (*run)(void), const char *name);

/* Whether no thread of the host is left: the main thread has ended by pthread_exit and so have all others. `run` must
 * return then, and the process ends as it would have without it. Costs one system call. */
bool background_is_alone(void);

/* In the fork child: none of them is left. Async-signal-safe. */
void background_forked(void);

/* Sleeps. */
void background_sleep(uint64_t nanoseconds);
