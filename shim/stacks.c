#include "stacks.h"

#include <errno.h>
#include <execinfo.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "aside.h"
#include "elf.h"
#include "interp.h"

enum { ANSWER_NANOSECONDS = 300 * 1000 * 1000 };

/* ---- the question ----------------------------------------------------------------------------------------------- */

enum { IDLE, ASKED, ANSWERING, ANSWERED };

/* Written by the watch thread while IDLE, by the thread that is asked while ANSWERING. */
static struct {
    int state; /* a futex */
    pid_t tid;
    size_t count;
    void *frames[STACK_FRAMES + 8];
    void *pc;
    PyThreadState *current;
    void *thread_pointer;
} question;

/* A thread that never came back from the handler: nobody is asked any more. */
static bool is_lost;

static void wake_asker(void) {
    syscall(SYS_futex, &question.state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

static void *interrupted_at(const ucontext_t *context) {
#if defined(__x86_64__)
    return (void *)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)context->uc_mcontext.pc;
#else
    (void)context;
    return NULL;
#endif
}

/* The unwinder takes two KiB, more than the host may have there. */
static void take_frames(void *context) {
    int count = backtrace(question.frames, (int)(sizeof question.frames / sizeof question.frames[0]));
    question.count = count > 0 ? (size_t)count : 0;
    question.pc = interrupted_at(context);
}

static void answer(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)info;
    int saved_errno = errno;
    int asked = ASKED;
    if (__atomic_load_n(&question.tid, __ATOMIC_ACQUIRE) == (pid_t)syscall(SYS_gettid) &&
        __atomic_compare_exchange_n(&question.state, &asked, ANSWERING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        question.count = 0;
        aside_run(take_frames, context);
        question.current = interp_current();
        question.thread_pointer = (void *)pthread_self();
        __atomic_store_n(&question.state, ANSWERED, __ATOMIC_RELEASE);
        wake_asker();
    }
    errno = saved_errno;
}

/* A fork child may have our handler from the moment of the fork. */
static bool is_unused(int number, struct sigaction *before) {
    if (sigaction(number, NULL, before) == 0 && (before->sa_flags & SA_SIGINFO) && before->sa_sigaction == answer) {
        memset(before, 0, sizeof *before);
        before->sa_handler = SIG_DFL;
        return true;
    }
    return sigaction(number, NULL, before) == 0 && !(before->sa_flags & SA_SIGINFO) &&
           (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN);
}

static bool install(int number) {
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    return sigaction(number, &action, NULL) == 0;
}

/* Puts back what was there, unless the host has set something else meanwhile. */
static void uninstall(int number, const struct sigaction *before) {
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && now.sa_sigaction == answer) {
        sigaction(number, before, NULL);
    }
}

static bool await_answer(void) {
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        int state = __atomic_load_n(&question.state, __ATOMIC_ACQUIRE);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        long passed = (now.tv_sec - start.tv_sec) * 1000000000L + (now.tv_nsec - start.tv_nsec);
        if (state == ANSWERED) {
            return true;
        }
        if (passed >= ANSWER_NANOSECONDS) {
            break;
        }
        struct timespec rest = {0, ANSWER_NANOSECONDS - passed};
        syscall(SYS_futex, &question.state, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, state, &rest, NULL, 0);
    }
    int asked = ASKED;
    if (!__atomic_compare_exchange_n(&question.state, &asked, IDLE, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        is_lost = asked != ANSWERED;
        return asked == ANSWERED;
    }
    return false;
}

/* The frames of the handler and of the kernel's trampoline are dropped: what counts begins where the signal struck. */
static void copy_answer(struct stack *stack) {
    size_t first = 0;
    while (first < question.count && question.frames[first] != question.pc) {
        first++;
    }
    if (first == question.count) {
        first = question.count > 2 ? 2 : 0;
    }
    for (size_t i = first; i < question.count && stack->count < STACK_FRAMES; i++) {
        stack->frames[stack->count++] = question.frames[i];
    }
    stack->current = question.current;
    stack->thread_pointer = question.thread_pointer;
    stack->source = STACK_TAKEN;
}

static bool ask(const struct thread_look *look, struct stack *stack) {
    static const int candidates[] = {SIGURG, SIGWINCH};
    stack->reason = "it has the signals blocked that are free to ask it";
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        int number = candidates[i];
        struct sigaction before;
        if ((look->blocked & 1ull << (number - 1)) || !is_unused(number, &before) || !install(number)) {
            continue;
        }
        question.count = 0;
        __atomic_store_n(&question.tid, look->tid, __ATOMIC_RELEASE);
        __atomic_store_n(&question.state, ASKED, __ATOMIC_RELEASE);
        bool is_answered = syscall(SYS_tgkill, getpid(), look->tid, number) == 0 && await_answer();
        uninstall(number, &before);
        if (is_answered) {
            stack->reason = NULL;
            copy_answer(stack);
        } else {
            stack->reason = "it did not answer in time";
        }
        if (!is_lost) {
            __atomic_store_n(&question.state, IDLE, __ATOMIC_RELEASE);
        }
        return is_answered;
    }
    return false;
}

/* ---- from outside ----------------------------------------------------------------------------------------------- */

/* Whether the bytes before `address` can be a call instruction. */
static bool is_after_call(uintptr_t address) {
#if defined(__x86_64__)
    unsigned char code[7]; /* the 7 bytes before it */
    if (!thread_read_memory((const void *)(address - sizeof code), code, sizeof code)) {
        return false;
    }
    /* call rel32; call *reg; call *disp8(reg); call *disp32(reg) or *disp32(%rip); with a SIB byte */
    return code[2] == 0xe8 || (code[5] == 0xff && (code[6] & 0xf8) == 0xd0) ||
           (code[4] == 0xff && (code[5] & 0x38) == 0x10) || (code[1] == 0xff && (code[2] & 0x38) == 0x10) ||
           (code[3] == 0xff && (code[4] & 0x3f) == 0x14) || (code[0] == 0xff && (code[1] & 0x3f) == 0x14);
#elif defined(__aarch64__)
    uint32_t code;
    if (!thread_read_memory((const void *)(address - sizeof code), &code, sizeof code)) {
        return false;
    }
    return (code & 0xfc000000u) == 0x94000000u || (code & 0xfffffc1fu) == 0xd63f0000u; /* bl, blr */
#else
    (void)address;
    return false;
#endif
}

static bool is_code(uintptr_t address) {
    struct elf_object object;
    if (address < 4096 || !elf_find_by_address((const void *)address, &object)) {
        return false;
    }
    for (size_t i = 0; i < object.segment_count; i++) {
        const ElfW(Phdr) *segment = &object.segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
            address - object.bias - segment->p_vaddr < segment->p_memsz) {
            return true;
        }
    }
    return false;
}

/* Words on the stack that point behind a call instruction. */
void stacks_guess(const struct thread_look *look, struct stack *stack) {
    uintptr_t words[256];
    if (!look->stack) {
        return;
    }
    stack->source = STACK_GUESSED;
    stack->frames[stack->count++] = (void *)look->pc;
    for (int block = 0; block < 8; block++) {
        if (!thread_read_memory((const void *)(look->stack + (size_t)block * sizeof words), words, sizeof words)) {
            return;
        }
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (stack->count == STACK_FRAMES) {
                return;
            }
            if (is_code(words[i]) && is_after_call(words[i])) {
                stack->frames[stack->count++] = (void *)words[i];
            }
        }
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

static void *(*find_function)(void *);

static bool find_unwinder(const struct elf_object *object, void *unused) {
    (void)unused;
    const char *slash = strrchr(object->name, '/');
    if (!slash || strncmp(slash + 1, "libgcc_s.so", strlen("libgcc_s.so")) != 0) {
        return false;
    }
    const ElfW(Sym) *symbol = elf_find_export(object, "_Unwind_FindEnclosingFunction");
    if (symbol) {
        void *address = elf_symbol_address(object, symbol);
        memcpy(&find_function, &address, sizeof address);
    }
    return true;
}

void stacks_prepare(void) {
    void *frames[4];
    backtrace(frames, 4);
    elf_visit(find_unwinder, NULL);
}

/* Whether a handler that unwinds can run on the thread's stack. The main thread's grows by itself. */
static bool has_room(const struct thread_look *look) {
    enum { PAGE = 4096, PAGES = 8 };
    char byte;
    for (uintptr_t page = 1; look->stack && look->tid != getpid() && page <= PAGES; page++) {
        if (!thread_read_memory((const void *)(look->stack - page * PAGE), &byte, 1)) {
            return false;
        }
    }
    return true;
}

/* A running thread may have all signals blocked just for a moment, in pthread_create for one. */
static struct thread_look look_again(const struct thread_look *look) {
    struct thread_look fresh = *look;
    for (int i = 0; i < 5 && fresh.call < 0 && (fresh.blocked & 1ull << (SIGURG - 1)); i++) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        thread_look(look->tid, &fresh);
    }
    return fresh;
}

void stacks_take(const struct thread_look *look, struct stack *stack) {
    struct thread_look fresh = look_again(look);
    memset(stack, 0, sizeof *stack);
    if (is_lost) {
        stack->reason = "an earlier question was never answered";
    } else if (!thread_bears_signal(&fresh)) {
        stack->reason = "a signal would interrupt its system call";
    } else if (!has_room(&fresh)) {
        stack->reason = "its stack has no room for a signal handler";
    } else if (ask(&fresh, stack)) {
        return;
    }
    stacks_guess(&fresh, stack);
}

void *stacks_function_of(void *address) {
    return find_function && address ? find_function((char *)address - 1) : NULL;
}
