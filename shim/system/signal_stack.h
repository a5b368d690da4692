/* Alternate signal stacks for threads that have none, so that the handler of a crash can run on a thread whose own stack
 * has run out. Only with crash=1.
 *
 * The program does not see such a stack: the exported sigaltstack says "none" for it. A stack that the program sets
 * itself takes its place; when the program takes that away, ours comes back. It is freed when the thread ends. Knows
 * nothing of Python. */
#pragma once

/* Constructor, also without crash=1: finds the real sigaltstack. A fork child might find the loader's lock, which that
 * takes, held for ever. */
void signal_stack_prepare(void);

/* Constructor: from now on signal_stack_give gives stacks. Makes a thread-specific key. Without one, no thread gets a
 * stack. */
void signal_stack_start(void);

/* Gives the calling thread an alternate stack if it has none. Does nothing the second time on a thread, and before
 * signal_stack_start. Without memory, the thread goes without. Preserves errno. Not async-signal-safe. */
void signal_stack_give(void);

/* In a fork child: frees the stacks of the threads that are not there. Preserves errno. */
void signal_stack_forked(void);

/* Takes the calling thread's alternate stack out of use, whoever set it, until the handler that runs on it returns. For
 * a handler that has gone to another stack: the kernel would begin the next handler at the top of the alternate stack,
 * over the frames of this one. Async-signal-safe. */
void signal_stack_leave(void);
