/* The native stack of a thread that has crashed, from the registers that the kernel gave its handler; and the library
 * to suspect. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CRASH_FRAMES = 32 };

struct crash_stack {
    size_t count;
    void *frames[CRASH_FRAMES]; /* innermost first, as return addresses: symbol_add names the instruction before */
    bool is_guess;              /* from some frame on, they are what looks like return addresses */
    uintptr_t stack;            /* the stack pointer of the innermost frame */
    const void *culprit;        /* innermost frame outside CPython and the system's libraries; NULL: none */
    const void *place;          /* innermost frame outside the system's libraries; NULL: none */
    bool is_in_cpython;         /* `place` is in CPython */
    const char *entry;          /* exported function of CPython nearest to the culprit inside it; NULL: not known */
    bool has_origin;            /* the handler of a fault has raised the signal ... */
    siginfo_t origin;           /* ... and was told this */
};

/* Walks the stack from `context`, what the handler was given together with `info`. If the signal was raised by the
 * handler of a fault, the stack begins where that fault was. Reads only memory that is there, except for the tables of loaded
 * objects. Takes some KiB of stack. Async-signal-safe; asks for locks as cfi.h does (loader_avoid_locks). */
void crash_stack_take(const siginfo_t *info, const void *context, struct crash_stack *stack);

/* The same, from registers. */
struct cfi_frame;
void crash_stack_walk(const siginfo_t *info, const struct cfi_frame *registers, struct crash_stack *stack);
