/* void __morestack(void (*body)(void *), void *argument, void *top, const void **host)
 *
 * gcc's -fsplit-stack uses this name for the function that continues a stack elsewhere. Debuggers unwind through a
 * function of this name even though the frames beneath it are not at higher addresses. */

#if defined(__x86_64__)

    .text
    .globl  __morestack
    .hidden __morestack
    .type   __morestack, @function
__morestack:
    .cfi_startproc
    endbr64
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rbx                        /* for callers of aside_host_stack, who look for what they hold */
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    movq    %rsp, (%rcx)
    movq    %rdx, %rsp
    movq    %rdi, %rax
    movq    %rsi, %rdi
    call    *%rax
    movq    %rbp, %rsp
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    .cfi_restore %rbp
    ret
    .cfi_endproc
    .size   __morestack, . - __morestack

#elif defined(__aarch64__)

    .text
    .globl  __morestack
    .hidden __morestack
    .type   __morestack, %function
__morestack:
    .cfi_startproc
    hint    #34                         /* bti c */
    stp     x29, x30, [sp, #-96]!
    .cfi_def_cfa_offset 96
    .cfi_offset x29, -96
    .cfi_offset x30, -88
    mov     x29, sp
    .cfi_def_cfa_register x29
    stp     x19, x20, [sp, #16]         /* for callers of aside_host_stack, who look for what they hold */
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x29, [x3]
    mov     x9, x0
    mov     x0, x1
    mov     sp, x2
    blr     x9
    mov     sp, x29
    .cfi_def_cfa_register sp
    ldp     x29, x30, [sp], #96
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    ret
    .cfi_endproc
    .size   __morestack, . - __morestack

#endif

#include "system/landing_pads.inc"
