/* The thunks (thunks.h). A thunk may change only registers that belong to nobody between a call and the function called:
 * r10 and r11 on x86-64 (r10 passes the static chain of nested functions, which C's own calling sequence does not use),
 * x16 and x17 on AArch64. So arguments of every kind pass, also those of variadic functions. */
#include "system/thunks.h"

#if defined(__x86_64__)

    .text
    .globl  thunk_first, thunk_end
    .hidden thunk_first, thunk_end
    .type   thunk_first, @function
    .balign 16
thunk_first:
    .cfi_startproc
    .set    number, 0
    .rept   THUNK_COUNT
    .balign 16
    endbr64
    movq    thunk_pass@gottpoff(%rip), %r11
    movq    %fs:8(%r11), %r10
    movq    %fs:(%r11), %r11
    cmpq    %r10, (%r11)
    jne     1f
    jmp     *thunk_targets+8*number(%rip)
1:  movl    $number, %r11d
    jmp     thunk_slow
    .set    number, number + 1
    .endr
    .balign 16
thunk_end:
    .cfi_endproc
    .size   thunk_first, . - thunk_first

    .type   thunk_slow, @function
thunk_slow:
    .cfi_startproc
    pushq   %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq    %rsp, %rbp
    .cfi_def_cfa_register %rbp
    pushq   %rax                        /* the number of vector registers that a variadic call uses */
    pushq   %rdi
    pushq   %rsi
    pushq   %rdx
    pushq   %rcx
    pushq   %r8
    pushq   %r9
    pushq   %r11
    subq    $128, %rsp
    movups  %xmm0, (%rsp)
    movups  %xmm1, 16(%rsp)
    movups  %xmm2, 32(%rsp)
    movups  %xmm3, 48(%rsp)
    movups  %xmm4, 64(%rsp)
    movups  %xmm5, 80(%rsp)
    movups  %xmm6, 96(%rsp)
    movups  %xmm7, 112(%rsp)
    andq    $-16, %rsp                  /* a caller in assembler may not have aligned it */
    movl    %r11d, %edi
    movq    8(%rbp), %rsi
    movq    %rbp, %rdx
    call    *thunk_judge(%rip)
    leaq    -192(%rbp), %rsp
    movups  (%rsp), %xmm0
    movups  16(%rsp), %xmm1
    movups  32(%rsp), %xmm2
    movups  48(%rsp), %xmm3
    movups  64(%rsp), %xmm4
    movups  80(%rsp), %xmm5
    movups  96(%rsp), %xmm6
    movups  112(%rsp), %xmm7
    addq    $128, %rsp
    popq    %r11
    popq    %r9
    popq    %r8
    popq    %rcx
    popq    %rdx
    popq    %rsi
    popq    %rdi
    popq    %rax
    popq    %rbp
    .cfi_def_cfa %rsp, 8
    .cfi_restore %rbp
    leaq    thunk_targets(%rip), %r10
    jmp     *(%r10,%r11,8)
    .cfi_endproc
    .size   thunk_slow, . - thunk_slow

#elif defined(__aarch64__)

    .text
    .globl  thunk_first, thunk_end
    .hidden thunk_first, thunk_end
    .type   thunk_first, %function
    .balign 64
thunk_first:
    .cfi_startproc
    .set    number, 0
    .rept   THUNK_COUNT
    .balign 64
    hint    #34                         /* bti c */
    adrp    x16, :gottprel:thunk_pass
    ldr     x16, [x16, #:gottprel_lo12:thunk_pass]
    mrs     x17, tpidr_el0
    add     x16, x16, x17
    ldp     x16, x17, [x16]
    ldr     x16, [x16]
    cmp     x16, x17
    b.ne    1f
    adrp    x16, thunk_targets+8*number
    ldr     x16, [x16, #:lo12:thunk_targets+8*number]
    br      x16
1:  mov     w17, #number
    b       thunk_slow
    .set    number, number + 1
    .endr
    .balign 64
thunk_end:
    .cfi_endproc
    .size   thunk_first, . - thunk_first

    .type   thunk_slow, %function
thunk_slow:
    .cfi_startproc
    stp     x29, x30, [sp, #-224]!
    .cfi_def_cfa_offset 224
    .cfi_offset 29, -224
    .cfi_offset 30, -216
    mov     x29, sp
    .cfi_def_cfa_register 29
    stp     x0, x1, [sp, #16]
    stp     x2, x3, [sp, #32]
    stp     x4, x5, [sp, #48]
    stp     x6, x7, [sp, #64]
    stp     x8, x17, [sp, #80]
    stp     q0, q1, [sp, #96]
    stp     q2, q3, [sp, #128]
    stp     q4, q5, [sp, #160]
    stp     q6, q7, [sp, #192]
    mov     w0, w17
    mov     x1, x30
    mov     x2, x29
    adrp    x16, thunk_judge
    ldr     x16, [x16, #:lo12:thunk_judge]
    blr     x16
    ldp     q6, q7, [sp, #192]
    ldp     q4, q5, [sp, #160]
    ldp     q2, q3, [sp, #128]
    ldp     q0, q1, [sp, #96]
    ldp     x8, x17, [sp, #80]
    ldp     x6, x7, [sp, #64]
    ldp     x4, x5, [sp, #48]
    ldp     x2, x3, [sp, #32]
    ldp     x0, x1, [sp, #16]
    ldp     x29, x30, [sp], #224
    .cfi_def_cfa 31, 0
    .cfi_restore 29
    .cfi_restore 30
    adrp    x16, thunk_targets
    add     x16, x16, #:lo12:thunk_targets
    ldr     x16, [x16, w17, uxtw #3]
    br      x16
    .cfi_endproc
    .size   thunk_slow, . - thunk_slow

#endif

#include "system/landing_pads.inc"
