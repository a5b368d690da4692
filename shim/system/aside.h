/* Work that takes much stack, on a stack of its own: a report, a summary, a walk through the frames. The thread may be the
 * host's, with PTHREAD_STACK_MIN, a coroutine's few KiB, or at the end of its stack already; what gilshim does there must
 * fit into the 4 KiB that tests/61-small-stacks.bats measures. Files whose frames are on hosts' stacks are compiled with
 * -Wframe-larger-than (Makefile). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { ASIDE_SIZE = 128 * 1024 };

/* Calls `body(argument)` on fresh pages, or right here where the thread is on such already or is one of our own. Meanwhile
 * signals are blocked, but for those that a fault raises, and cancellation is off: no handler of the host's runs there, and
 * nothing leaves by another way than it came. The unwinder and debuggers see the host's frames beneath. False: there is no
 * memory for it, and body was not called. errno is left as it was. Takes no lock. Async-signal-safe, as far as `body` is. */
bool aside_run(void (*body)(void *argument), void *argument);

/* For threads of our own: their stacks are large enough, aside_run need not leave them. */
void aside_not_needed(void);

/* Where the host's own stack ends, while the thread is aside: the registers that a function must leave as they were are
 * saved from there on, and above them are the host's frames. NULL: it is not aside. Async-signal-safe. */
const void *aside_host_stack(void);
