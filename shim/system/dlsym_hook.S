/* The exported dlsym. It must jump to the real one: dlsym(RTLD_NEXT) and dlsym(RTLD_DEFAULT) go by the return address
 * of their caller, and compilers turn a tail call into a call under -O0, -fsanitize=thread and --coverage. */

#if defined(__x86_64__)

    .text
    .globl  dlsym
    .type   dlsym, @function
dlsym:
    .cfi_startproc
    endbr64
    testq   %rsi, %rsi
    je      1f
    cmpb    $'P', (%rsi)                /* byte by byte: "" may be the last byte of a page */
    jne     3f
    cmpb    $'y', 1(%rsi)
    jne     3f
4:  pushq   %rdi
    .cfi_adjust_cfa_offset 8
    pushq   %rsi
    .cfi_adjust_cfa_offset 8
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    call    start_before_dlsym
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %rsi
    .cfi_adjust_cfa_offset -8
    popq    %rdi
    .cfi_adjust_cfa_offset -8
    movq    %rax, %rsi
1:  movq    dlsym_hook_target(%rip), %rax
    testq   %rax, %rax
    je      2f
    jmp     *%rax
2:  pushq   %rdi
    .cfi_adjust_cfa_offset 8
    pushq   %rsi
    .cfi_adjust_cfa_offset 8
    subq    $8, %rsp
    .cfi_adjust_cfa_offset 8
    call    dlsym_hook_find
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %rsi
    .cfi_adjust_cfa_offset -8
    popq    %rdi
    .cfi_adjust_cfa_offset -8
    jmp     *%rax
3:  cmpb    $0, dlsym_hook_is_wide(%rip)
    je      1b
    leaq    1(%rdi), %rax
    cmpq    $1, %rax                    /* RTLD_NEXT is -1, RTLD_DEFAULT is 0 */
    ja      4b
    jmp     1b
    .cfi_endproc
    .size   dlsym, . - dlsym

#elif defined(__aarch64__)

    .text
    .globl  dlsym
    .type   dlsym, %function
dlsym:
    .cfi_startproc
    hint    #34                         /* bti c */
    cbz     x1, 1f
    ldrb    w9, [x1]
    cmp     w9, #'P'
    b.ne    3f
    ldrb    w9, [x1, #1]
    cmp     w9, #'y'
    b.ne    3f
4:  stp     x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_offset x29, -32
    .cfi_offset x30, -24
    str     x0, [sp, #16]
    bl      start_before_dlsym
    mov     x1, x0
    ldr     x0, [sp, #16]
    ldp     x29, x30, [sp], #32
    .cfi_adjust_cfa_offset -32
    .cfi_restore x29
    .cfi_restore x30
1:  adrp    x9, dlsym_hook_target
    ldr     x16, [x9, #:lo12:dlsym_hook_target]
    cbz     x16, 2f
    br      x16
2:  stp     x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_offset x29, -32
    .cfi_offset x30, -24
    stp     x0, x1, [sp, #16]
    bl      dlsym_hook_find
    mov     x16, x0
    ldp     x0, x1, [sp, #16]
    ldp     x29, x30, [sp], #32
    .cfi_adjust_cfa_offset -32
    .cfi_restore x29
    .cfi_restore x30
    br      x16
3:  adrp    x9, dlsym_hook_is_wide
    ldrb    w9, [x9, #:lo12:dlsym_hook_is_wide]
    cbz     w9, 1b
    add     x9, x0, #1
    cmp     x9, #1                      /* RTLD_NEXT is -1, RTLD_DEFAULT is 0 */
    b.hi    4b
    b       1b
    .cfi_endproc
    .size   dlsym, . - dlsym

#endif

#include "system/landing_pads.inc"
