/* Call frame information (.eh_frame, DWARF 4 section 6.4 with the GNU encodings). Finds the caller of a function whose
 * pc and stack pointer are known, in any thread, from outside. libgcc's unwinder only walks the stack of its caller.
 *
 * At first, the stack pointer is the only register whose value is known. A frame that needs another register is a dead
 * end, unless a frame inside it has saved that register. No malloc. Takes the loader's lock (dl_iterate_phdr). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#if defined(__aarch64__)
enum { CFI_STACK = 31, CFI_RETURN = 30, CFI_REGISTERS = 32 };
#else
enum { CFI_STACK = 7, CFI_RETURN = 16, CFI_REGISTERS = 17 };
#endif

struct cfi_frame {
    uintptr_t pc;
    bool is_call;   /* pc follows a call instruction, which may be the function's last */
    uint64_t known; /* bit N: the value of register N is known, in DWARF's numbering */
    uintptr_t values[CFI_REGISTERS];
};

/* Returns the address in a word of the stack that may be a return address. With pointer authentication (AArch64) the bits above it
 * are a signature, all but bit 55, which is clear in every address of a program. */
static inline uintptr_t cfi_return_address(uintptr_t word) {
#if defined(__aarch64__)
    return word >> 55 & 1 ? word : word & 0x0000ffffffffffffu;
#else
    return word;
#endif
}

enum cfi_result { CFI_STEPPED, CFI_OUTERMOST, CFI_LOST };

/* Steps from a frame to its caller's. `read` reads a word of the stack and returns false if it can't. *function
 * receives the start of the function whose frame was left, or 0 if that is not known. `frame` changes only if the
 * result is CFI_STEPPED. */
enum cfi_result cfi_step(struct cfi_frame *frame, bool (*read)(uintptr_t address, uintptr_t *word),
                         uintptr_t *function);

/* Steps as cfi_step does, from a frame whose register for finding it is not known, but whose return address was found on the
 * stack, at `place`: that tells where the frame ends, and so the register and all that the function has saved. Returns false
 * if the frame does not lie so, or does not say how it lies; then `frame` is as it was. */
bool cfi_step_over(struct cfi_frame *frame, uintptr_t place, bool (*read)(uintptr_t address, uintptr_t *word));

/* The layout of a function's frame on the stack when it is at `pc`. */
struct cfi_shape {
    uintptr_t function; /* its start */
    bool is_outermost;  /* it has no caller */
    bool is_by_stack;   /* its frame ends `size` bytes above the stack pointer */
    uintptr_t size;
};

/* Fills `shape` for the function at `pc`; `is_call` is as in struct cfi_frame. Returns false if the function is not
 * known. */
bool cfi_shape(uintptr_t pc, bool is_call, struct cfi_shape *shape);
