/* The native stack of another thread of this process, for reports about a process that hangs.
 *
 * The thread is asked by a signal that nobody in the process uses and whose default action is to be ignored (SIGURG,
 * SIGWINCH), so that one that comes late does no harm. The handler is there only for the time of the question; it takes
 * the stack with backtrace(3) into a buffer that is there already. A thread that would notice the signal (it has it blocked,
 * or sits in a call that would answer EINTR) is not asked: its stack is searched from outside for what looks like return
 * addresses, which may bring up old ones.
 *
 * All functions are for one thread at a time, the watch thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cpython.h"
#include "text.h"
#include "thread.h"

enum { STACK_FRAMES = 48 };

enum stack_source { STACK_NONE, STACK_TAKEN, STACK_GUESSED };

struct stack {
    enum stack_source source;
    const char *reason; /* not STACK_TAKEN: why the thread was not asked, or did not answer */
    size_t count;
    void *frames[STACK_FRAMES]; /* innermost first: where the thread stands, then return addresses */
    PyThreadState *current;     /* STACK_TAKEN: what interp_current() answers there */
    void *thread_pointer;       /* STACK_TAKEN: its pthread_self() */
};

/* Loads what backtrace(3) needs (libgcc_s). May allocate and wait for the loader: before anything hangs. */
void stacks_prepare(void);

/* Takes the stack of a thread, waiting for its answer for a bounded time. `look`: a fresh look at the thread. */
void stacks_take(const struct thread_look *look, struct stack *stack);

/* Searches the stack from look->stack upwards for what looks like return addresses, behind look->pc. Disturbs nobody. */
void stacks_guess(const struct thread_look *look, struct stack *stack);

/* Where the function begins that holds the return address, by the unwinder's tables, which stripped files have too;
 * NULL if it can't be told. */
void *stacks_function_of(void *address);
