#include "diagnose/crash_stack.h"

#include <string.h>
#include <ucontext.h>

#include "cpython/real.h"
#include "diagnose/culprit.h"
#include "diagnose/stacks.h"
#include "system/cfi.h"
#include "system/elf.h"
#include "system/loader.h"
#include "system/thread.h"

/* ---- which objects are nobody's fault ---------------------------------------------------------------------------- */

enum kind { PROGRAM, CPYTHON, CPYTHONS_MODULE, SYSTEM, NOWHERE };

static enum kind kind_of(const void *address, struct elf_object *object) {
    struct elf_object cpython;
    if (!elf_find_by_address((const char *)address - 1, object)) {
        return NOWHERE;
    }
    if (elf_find_by_address((const void *)real.Py_IsInitialized, &cpython) && elf_is_same(object, &cpython)) {
        return CPYTHON;
    }
    return culprit_is_runtime(object) ? SYSTEM : culprit_is_pythons_module(object) ? CPYTHONS_MODULE : PROGRAM;
}

/* The interpreter's own program, which calls one of these, is no culprit. */
static bool is_main(const char *entry) {
    static const char *const mains[] = {"Py_Main", "Py_BytesMain", "Py_RunMain"};
    for (size_t i = 0; entry && i < sizeof mains / sizeof mains[0]; i++) {
        if (strcmp(entry, mains[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void judge(struct crash_stack *stack, void *frame) {
    struct elf_object object;
    size_t offset;
    enum kind kind = kind_of(frame, &object);
    if (!stack->place && kind != SYSTEM && kind != NOWHERE) {
        stack->place = frame;
        stack->is_in_cpython = kind == CPYTHON;
    }
    if (kind == CPYTHONS_MODULE) {
        /* Only if it is the innermost. */
        stack->culprit = stack->place == frame ? frame : NULL;
    } else if (kind == CPYTHON) {
        const char *name = elf_function_at(&object, (const char *)frame - 1, &offset);
        stack->entry = name ? name : stack->entry;
    } else if (kind == PROGRAM && !is_main(stack->entry)) {
        stack->culprit = frame;
    }
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

static bool read_word(uintptr_t address, uintptr_t *word) {
    return address % sizeof *word == 0 && thread_read_memory((const void *)address, word, sizeof *word);
}

/* Takes the registers that the kernel has saved. */
static bool take_registers(const void *context, struct cfi_frame *frame) {
    ucontext_t copy;
    memset(frame, 0, sizeof *frame);
#if defined(__x86_64__)
    static const int numbers[CFI_RETURN] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI, REG_RBP, REG_RSP,
                                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    if (!thread_read_memory(context, &copy, offsetof(ucontext_t, uc_mcontext.gregs) + sizeof copy.uc_mcontext.gregs)) {
        return false;
    }
    for (size_t i = 0; i < CFI_RETURN; i++) {
        frame->values[i] = (uintptr_t)copy.uc_mcontext.gregs[numbers[i]];
        frame->known |= 1ull << i;
    }
    frame->pc = (uintptr_t)copy.uc_mcontext.gregs[REG_RIP];
#else
    if (!thread_read_memory(context, &copy, offsetof(ucontext_t, uc_mcontext.pstate))) {
        return false;
    }
    for (size_t i = 0; i < CFI_STACK; i++) {
        frame->values[i] = (uintptr_t)copy.uc_mcontext.regs[i];
        frame->known |= 1ull << i;
    }
    frame->values[CFI_STACK] = (uintptr_t)copy.uc_mcontext.sp;
    frame->known |= 1ull << CFI_STACK;
    frame->pc = (uintptr_t)copy.uc_mcontext.pc;
#endif
    return true;
}

static bool is_fault(int number) {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
}

#if defined(__aarch64__)
/* Returns the si_code of the SIGSEGV that the processor's syndrome stands for (ESR_EL1), which the kernel saves among other
 * records (sigcontext.h), or `otherwise`. */
static int code_of_syndrome(uintptr_t context, int otherwise) {
    enum { SYNDROME = 0x45535201, RECORDS = 16, DATA_ABORT = 0x24, CODE_ABORT = 0x20, TRANSLATION = 1, PERMISSION = 3 };
    uintptr_t at = context + offsetof(ucontext_t, uc_mcontext.__reserved);
    struct {
        uint32_t magic, size;
        uint64_t esr;
    } record;
    for (int i = 0; i < RECORDS && thread_read_memory((const void *)at, &record, sizeof record) && record.size; i++) {
        if (record.magic == SYNDROME) {
            unsigned class = (unsigned)(record.esr >> 26) & 0x3f, fault = (unsigned)record.esr >> 2 & 0xf;
            bool is_abort = class == DATA_ABORT || class == CODE_ABORT;
            return is_abort && fault == TRANSLATION  ? SEGV_MAPERR
                   : is_abort && fault == PERMISSION ? SEGV_ACCERR
                                                     : otherwise;
        }
        at += record.size;
    }
    return otherwise;
}
#endif

/* The kernel writes siginfo_t only for handlers that ask for it, and CPython's faulthandler does not. What the processor
 * said is saved for all. But it is that of the thread's last fault, even if this handler is not for a fault: so it counts
 * only if the signal that the handler has raised is that of a fault. */
static bool fault_of_processor(uintptr_t context, int number, siginfo_t *info) {
    ucontext_t copy;
    memset(info, 0, sizeof *info);
    info->si_signo = number;
#if defined(__x86_64__)
    enum { DIVIDE = 0, OPCODE = 6, PROTECTION = 13, PAGE = 14, PAGE_IS_THERE = 1 };
    if (!thread_read_memory((const void *)context, &copy,
                            offsetof(ucontext_t, uc_mcontext.gregs) + sizeof copy.uc_mcontext.gregs)) {
        return false;
    }
    const greg_t *saved = copy.uc_mcontext.gregs;
    bool is_page = saved[REG_TRAPNO] == PAGE, is_there = saved[REG_ERR] & PAGE_IS_THERE;
    info->si_addr = (void *)(is_page ? saved[REG_CR2] : saved[REG_RIP]);
    switch (number) {
    case SIGSEGV:
        info->si_code = !is_page ? SI_KERNEL : is_there ? SEGV_ACCERR : SEGV_MAPERR;
        return is_page || saved[REG_TRAPNO] == PROTECTION;
    case SIGBUS: info->si_code = BUS_ADRERR; return is_page;
    case SIGFPE: info->si_code = FPE_INTDIV; return saved[REG_TRAPNO] == DIVIDE;
    default: info->si_code = ILL_ILLOPN; return saved[REG_TRAPNO] == OPCODE;
    }
#else
    enum { NOT_TOLD = 99 };
    if (!thread_read_memory((const void *)context, &copy, offsetof(ucontext_t, uc_mcontext.regs))) {
        return false;
    }
    info->si_code = number == SIGSEGV ? code_of_syndrome(context, NOT_TOLD) : NOT_TOLD;
    info->si_addr = (void *)copy.uc_mcontext.fault_address;
    return number == SIGSEGV || number == SIGBUS;
#endif
}

/* Returns true if `frame` is where a handler returns to that was called for a fault, and has raised signal `number`.
 * Stores what the fault was, and where the registers are (struct rt_sigframe of the kernel, which is its interface: gdb
 * and libgcc know it, too). */
static bool find_fault(const struct cfi_frame *frame, int number, siginfo_t *info, uintptr_t *context) {
    uintptr_t stack = frame->values[CFI_STACK];
#if defined(__x86_64__)
    static const unsigned char call[] = {0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05}; /* mov $15,%rax; syscall */
    enum { INFO = 304, CONTEXT = 0 };
#else
    static const unsigned char call[] = {0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4}; /* mov x8, #139; svc #0 */
    enum { INFO = 0, CONTEXT = 128 };
#endif
    enum { CODES = 16 };
    unsigned char code[sizeof call];
    if (!thread_read_memory((const void *)frame->pc, code, sizeof code) || memcmp(code, call, sizeof call) != 0 ||
        !thread_read_memory((const void *)(stack + INFO), info, sizeof *info)) {
        return false;
    }
    *context = stack + CONTEXT;
    bool is_written = is_fault(info->si_signo) && info->si_errno == 0 &&
                      ((info->si_code > 0 && info->si_code < CODES) || info->si_code == SI_KERNEL);
    return is_written || (is_fault(number) && fault_of_processor(*context, number, info));
}

/* A call of an address that is no code: the return address is on top of the stack, or in the link register. */
static bool leave_no_code(struct cfi_frame *frame) {
#if defined(__x86_64__)
    if (!read_word(frame->values[CFI_STACK], &frame->pc)) {
        return false;
    }
    frame->values[CFI_STACK] += sizeof(uintptr_t);
#else
    frame->pc = cfi_return_address(frame->values[CFI_RETURN]);
#endif
    frame->is_call = true;
    return frame->pc != 0;
}

static void guess_rest(const struct cfi_frame *frame, struct crash_stack *stack) {
    struct stack guessed;
    memset(&guessed, 0, sizeof guessed);
    const struct thread_look look = {.stack = frame->values[CFI_STACK]};
    stacks_guess(&look, &guessed); /* the first frame is look.pc */
    stack->is_guess = true;
    for (size_t i = 1; i < guessed.count && stack->count < CRASH_FRAMES; i++) {
        stack->frames[stack->count++] = guessed.frames[i];
        if (!stack->culprit) {
            judge(stack, guessed.frames[i]);
        }
    }
}

/* How many frames are looked at for a culprit: a recursion may be long. */
enum { FRAMES_MAX = 600 };

void crash_stack_walk(const siginfo_t *info, const struct cfi_frame *registers, struct crash_stack *stack) {
    struct cfi_frame frame = *registers;
    siginfo_t fault;
    uintptr_t saved, function;
    bool may_restart = info->si_code <= 0;
    memset(stack, 0, sizeof *stack);
    stack->stack = frame.values[CFI_STACK];
    for (unsigned i = 0; i < FRAMES_MAX && (stack->count < CRASH_FRAMES || !stack->culprit); i++) {
        if (may_restart && find_fault(&frame, info->si_signo, &fault, &saved) &&
            take_registers((const void *)saved, &frame)) {
            may_restart = false;
            *stack = (struct crash_stack){.has_origin = true, .origin = fault, .stack = frame.values[CFI_STACK]};
        }
        bool is_exact = !frame.is_call && loader_is_code((void *)frame.pc);
        void *address = (void *)(frame.pc + (is_exact ? 1 : 0));
        if (stack->count < CRASH_FRAMES) {
            stack->frames[stack->count++] = address;
        }
        if (!stack->culprit) {
            judge(stack, address);
        }
        enum cfi_result result = cfi_step(&frame, read_word, &function);
        if (result == CFI_OUTERMOST ||
            (result == CFI_LOST &&
             !(stack->count == 1 && !loader_is_code((void *)frame.pc) && leave_no_code(&frame)))) {
            if (result == CFI_LOST) {
                guess_rest(&frame, stack);
            }
            return;
        }
    }
}

void crash_stack_take(const siginfo_t *info, const void *context, struct crash_stack *stack) {
    struct cfi_frame frame;
    memset(stack, 0, sizeof *stack);
    if (take_registers(context, &frame)) {
        crash_stack_walk(info, &frame, stack);
    }
}
