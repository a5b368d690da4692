/* Runs work that takes much stack on a stack of its own: a report, a summary, a walk through the frames. The calling
 * thread may be the host's, with a stack of PTHREAD_STACK_MIN. It may run a coroutine with a few KiB, or be at the end
 * of its stack already. What gilshim does on such a stack must fit into the 4 KiB that tests/61-small-stacks.bats
 * measures. Files whose frames are on hosts' stacks are compiled with -Wframe-larger-than (Makefile). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { ASIDE_SIZE = 128 * 1024 };

/* Calls `body(argument)` on fresh pages, or on the current stack if the thread is on such pages already or is one of
 * our own. On fresh pages, all signals are blocked except those that a fault raises, and cancellation is disabled: no
 * other handler of the host's runs there, and no cancellation unwinds the stack. The unwinder and debuggers see the
 * host's frames beneath. Returns false, without calling `body`, if there is no memory. Preserves errno, except when
 * `body` runs on the current stack. Takes no lock. Async-signal-safe if `body` is. */
bool aside_run(void (*body)(void *argument), void *argument);

/* Marks the calling thread as one of our own. Its stack is large enough, so aside_run need not leave it. */
void aside_not_needed(void);

/* Returns where the host's own stack ends while the thread is aside, or NULL if it is not aside. The callee-saved
 * registers are stored from that address on, and the host's frames are above them. Async-signal-safe. */
const void *aside_host_stack(void);
