/* The native stack of another thread of this process, for reports about a process that hangs. The thread is not
 * disturbed: no signal is sent to it, so none of its calls fails with EINTR, and nothing runs on its stack.
 *
 * If the thread sleeps in a system call, the kernel reports its stack pointer, and call frame information leads
 * outwards from there. If it runs, the present depth of its stack is not known. Its stack is then followed from the
 * thread's start inwards, by call sites and frame sizes that fit together; the innermost frames may be calls that have
 * returned.
 *
 * All functions but stacks_guess are for one thread at a time, the watch thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/text.h"
#include "system/thread.h"

enum { STACK_FRAMES = 48 };

enum stack_source { STACK_NONE, STACK_TAKEN, STACK_GUESSED };

struct stack {
    enum stack_source source;
    const char *reason; /* if not STACK_TAKEN: why it is not certain */
    size_t count;
    size_t sure;                /* number of the innermost frames that are certain */
    void *frames[STACK_FRAMES]; /* innermost first: the thread's pc, then return addresses */
};

/* Loads what reports need (libgcc_s). May allocate and wait for the loader, so call it before anything hangs. */
void stacks_prepare(void);

/* Takes the stack of a thread. `look`: a fresh look at the thread. */
void stacks_take(const struct thread_look *look, struct stack *stack);

/* Searches the stack from look->stack upwards for what looks like return addresses, and adds them after look->pc. Does
 * not disturb the thread. */
void stacks_guess(const struct thread_look *look, struct stack *stack);

/* Returns the start of the function that contains the return address, from the unwinder's tables, which stripped files
 * have too. Returns NULL if it cannot be told. */
void *stacks_function_of(void *address);

/* Returns an address above all frames of the thread, or 0 if it is not known. For stacks.c. */
uintptr_t stacks_top_of(pid_t tid);

/* Fills in all registers of the thread. Returns false if no more than stack pointer and pc are known of it. For stacks.c. */
struct cfi_frame;
bool stacks_registers_of(pid_t tid, struct cfi_frame *frame);

/* Returns how often, every 0.2 ms, a thread that runs is looked at again: it may enter a system call, and then its whole
 * stack can be told. For stacks.c. */
unsigned stacks_patience(void);
