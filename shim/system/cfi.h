/* Call frame information (.eh_frame, DWARF 4 section 6.4 with the GNU encodings): who called a function whose place and
 * stack pointer are known, in any thread, from outside. libgcc's unwinder only walks the stack of its caller.
 *
 * What registers hold other than the stack pointer is not known to begin with; a frame that needs one is a dead end, unless
 * a frame inside it has saved the register. No malloc; takes the loader's lock (dl_iterate_phdr). */
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
    bool is_call;   /* pc is behind a call instruction, which may be the function's last */
    uint64_t known; /* bit N: register N, in DWARF's numbers */
    uintptr_t values[CFI_REGISTERS];
};

enum cfi_result { CFI_STEPPED, CFI_OUTERMOST, CFI_LOST };

/* From a frame to its caller's. `read`: a word of the stack; false: it can't be read. *function: where the function of the
 * frame that was left begins, 0 if that is not known. `frame` is as it was unless CFI_STEPPED. */
enum cfi_result cfi_step(struct cfi_frame *frame, bool (*read)(uintptr_t address, uintptr_t *word),
                         uintptr_t *function);

/* How a function's frame lies on the stack while it is at `pc`. */
struct cfi_shape {
    uintptr_t function; /* where it begins */
    bool is_outermost;  /* nobody has called it */
    bool is_by_stack;   /* its frame ends `size` bytes above the stack pointer */
    uintptr_t size;
};

/* False: it is not known. */
bool cfi_shape(uintptr_t pc, bool is_call, struct cfi_shape *shape);
