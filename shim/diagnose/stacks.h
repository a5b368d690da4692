/* The native stack of another thread of this process, for reports about a process that hangs. The thread is not disturbed:
 * no signal is sent to it, so that no call of its own fails with EINTR, and nothing runs on its stack.
 *
 * Of a thread that sleeps in a system call the kernel tells the stack pointer, and call frame information leads on from
 * there. Of one that runs nobody knows how deep its stack is just now: what can be told is followed from the thread's start
 * inwards, by call sites and sizes of frames that fit together; the innermost ones may be calls that have returned.
 *
 * All functions are for one thread at a time, the watch thread, but for stacks_guess. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/text.h"
#include "system/thread.h"

enum { STACK_FRAMES = 48 };

enum stack_source { STACK_NONE, STACK_TAKEN, STACK_GUESSED };

struct stack {
    enum stack_source source;
    const char *reason; /* not STACK_TAKEN: why it is not sure */
    size_t count;
    size_t sure;                /* of these, the innermost ones that are certain */
    void *frames[STACK_FRAMES]; /* innermost first: where the thread stands, then return addresses */
};

/* Loads what reports need (libgcc_s). May allocate and wait for the loader: before anything hangs. */
void stacks_prepare(void);

/* Takes the stack of a thread. `look`: a fresh look at the thread. */
void stacks_take(const struct thread_look *look, struct stack *stack);

/* Searches the stack from look->stack upwards for what looks like return addresses, behind look->pc. Disturbs nobody. */
void stacks_guess(const struct thread_look *look, struct stack *stack);

/* Where the function begins that holds the return address, by the unwinder's tables, which stripped files have too;
 * NULL if it can't be told. */
void *stacks_function_of(void *address);
