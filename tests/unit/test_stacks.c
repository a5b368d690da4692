#include "diagnose/stacks.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/cfi.h"
#include "test.h"

static uintptr_t top;
uintptr_t stacks_top_of(pid_t tid) {
    (void)tid;
    return top;
}
bool stacks_registers_of(pid_t tid, struct cfi_frame *frame) {
    (void)tid;
    (void)frame;
    return false;
}
unsigned stacks_patience(void) {
    return 0;
}

static volatile pid_t sleeper;

/* Waits until the thread sleeps in the system call. */
static struct thread_look look_asleep(long call) {
    struct thread_look look = {0};
    for (int i = 0; i < 30000; i++) {
        if (sleeper && thread_look(sleeper, &look) && look.call == call && look.stack) {
            return look;
        }
        usleep(1000);
    }
    return look;
}

void chain_outer(void);
static void *sleep_in_chain(void *unused) {
    sleeper = (pid_t)syscall(SYS_gettid);
    chain_outer();
    return unused;
}

#if defined(__x86_64__)

extern char chain_asleep[], chain_in_inner[], chain_in_cold[], chain_in_outer[];

/* Functions that find their frames by a frame pointer: chain_outer calls chain_middle through a
 * pointer, which goes on in a part of it that lies elsewhere (as compilers do with what seldom runs) and calls chain_inner.
 * That calls chain_leaf, which has no frame pointer and sleeps in pause(). The first frame that needs rbp is
 * that of chain_inner, and nothing inside it has saved rbp. On the stack is, below chain_inner's own return address, the
 * same word once more, from an earlier call. */
__asm__(".pushsection .text\n"
        ".globl chain_outer, chain_asleep, chain_in_inner, chain_in_cold, chain_in_outer\n"
        "chain_leaf:\n"
        ".cfi_startproc\n"
        "    sub $24, %rsp\n"
        ".cfi_adjust_cfa_offset 24\n"
        "    mov $34, %eax\n"
        "    syscall\n"
        "chain_asleep:\n"
        "    add $24, %rsp\n"
        ".cfi_adjust_cfa_offset -24\n"
        "    ret\n"
        ".cfi_endproc\n"
        "chain_inner:\n"
        ".cfi_startproc\n"
        "    push %rbp\n"
        ".cfi_def_cfa rbp, 16\n"
        ".cfi_offset rbp, -16\n"
        "    mov %rsp, %rbp\n"
        "    sub $64, %rsp\n"
        "    movq $0, -48(%rbp)\n"
        "    lea chain_in_cold(%rip), %rax\n"
        "    mov %rax, -40(%rbp)\n"
        "    call chain_leaf\n"
        "chain_in_inner:\n"
        "    leave\n"
        ".cfi_def_cfa rsp, 8\n"
        "    ret\n"
        ".cfi_endproc\n"
        "chain_middle:\n"
        ".cfi_startproc\n"
        "    push %rbp\n"
        ".cfi_def_cfa rbp, 16\n"
        ".cfi_offset rbp, -16\n"
        "    mov %rsp, %rbp\n"
        "    sub $32, %rsp\n"
        "    jmp chain_cold\n"
        ".cfi_endproc\n"
        "    .zero 64\n"
        "chain_cold:\n"
        ".cfi_startproc\n"
        ".cfi_def_cfa rbp, 16\n"
        ".cfi_offset rbp, -16\n"
        "    call chain_inner\n"
        "chain_in_cold:\n"
        "    leave\n"
        ".cfi_def_cfa rsp, 8\n"
        "    ret\n"
        ".cfi_endproc\n"
        "chain_outer:\n"
        ".cfi_startproc\n"
        "    push %rbp\n"
        ".cfi_def_cfa rbp, 16\n"
        ".cfi_offset rbp, -16\n"
        "    mov %rsp, %rbp\n"
        "    lea chain_middle(%rip), %rax\n"
        "    call *%rax\n"
        "chain_in_outer:\n"
        "    leave\n"
        ".cfi_def_cfa rsp, 8\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".popsection\n");

/* Where a frame's own registers are not known, its return address tells them, and the frames around it are certain. */
static void finds_frames_by_frame_pointer(void) {
    char *const expected[] = {chain_asleep, chain_in_inner, chain_in_cold, chain_in_outer};
    enum { COUNT = sizeof expected / sizeof expected[0] };
    static struct stack stack;
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_in_chain, NULL);
    struct thread_look look = look_asleep(SYS_pause);
    stacks_take(&look, &stack);
    CHECK(stack.source == STACK_TAKEN && stack.sure == stack.count && !stack.reason);
    CHECK(stack.count > COUNT && memcmp(stack.frames, expected, sizeof expected) == 0);
    for (size_t i = 0; i < stack.count && test_faults; i++) {
        printf("# #%zu %p\n", i, stack.frames[i]);
    }
}

#else

extern char chain_asleep[], chain_in_inner[], chain_in_middle[], chain_in_outer[];

/* chain_outer calls chain_middle through a pointer, that calls chain_inner, and that chain_leaf, which has no frame and sleeps in
 * ppoll(), as libc's syscall() does. Return addresses on the stack are signed; the signature is made up, so that it is there
 * on every processor, and they return never. Below chain_inner's own frame record is what an earlier call has left. */
#define SIGNED_FRAME(size)                   \
    ".cfi_startproc\n"                       \
    ".cfi_negate_ra_state\n"                 \
    "    movk x30, #0x2a55, lsl #48\n"       \
    "    stp x29, x30, [sp, #-" #size "]!\n" \
    ".cfi_def_cfa_offset " #size "\n"        \
    ".cfi_offset 29, -" #size "\n"           \
    ".cfi_offset 30, -" #size "+8\n"         \
    "    mov x29, sp\n"
/* clang-format off */
__asm__(".pushsection .text\n"
        ".globl chain_outer, chain_asleep, chain_in_inner, chain_in_middle, chain_in_outer\n"
        "chain_leaf:\n"
        ".cfi_startproc\n"
        "    mov x8, #73\n"
        "    mov x0, xzr\n"
        "    mov x1, xzr\n"
        "    mov x2, xzr\n"
        "    mov x3, xzr\n"
        "    svc #0\n"
        "chain_asleep:\n"
        "    b chain_leaf\n"
        ".cfi_endproc\n"
        "chain_inner:\n"
        SIGNED_FRAME(32)
        "    bl chain_leaf\n"
        "chain_in_inner:\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        "chain_middle:\n"
        SIGNED_FRAME(48)
        "    bl chain_inner\n"
        "chain_in_middle:\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        "chain_outer:\n"
        SIGNED_FRAME(16)
        "    adr x16, chain_middle\n"
        "    blr x16\n"
        "chain_in_outer:\n"
        "    brk #0\n"
        ".cfi_endproc\n"
        ".popsection\n");
/* clang-format on */

/* What looks like a return address does so with a signature, too; bit 55 is none of its bits. */
static void guesses_signed_addresses(void) {
    const uintptr_t signature = (uintptr_t)0x2a55 << 48, no_signature = (uintptr_t)0x80 << 48;
    const uintptr_t words[2048] = {0, (uintptr_t)chain_in_middle | signature, (uintptr_t)chain_in_inner | no_signature,
                                   (uintptr_t)chain_outer | signature, (uintptr_t)chain_in_outer};
    const struct thread_look look = {.stack = (uintptr_t)words};
    static struct stack stack;
    stacks_guess(&look, &stack);
    CHECK(stack.count == 3 && stack.frames[1] == (void *)chain_in_middle && stack.frames[2] == (void *)chain_in_outer);
}

/* Signed return addresses lead on from the function without a frame. */
static void reads_signed_addresses(void) {
    static struct stack stack;
    struct cfi_shape shape = {0}, inner = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_in_chain, NULL);
    struct thread_look look = look_asleep(SYS_ppoll);
    stacks_take(&look, &stack);
    CHECK(stack.source == STACK_TAKEN && stack.count > 4 && stack.frames[0] == (void *)chain_asleep);
    CHECK(cfi_shape((uintptr_t)chain_in_inner, true, &inner) && cfi_shape((uintptr_t)stack.frames[1], true, &shape) &&
          shape.function == inner.function);
    CHECK(stack.frames[2] == (void *)chain_in_middle && stack.frames[3] == (void *)chain_in_outer);
    CHECK(cfi_shape((uintptr_t)stack.frames[stack.count - 1], true, &shape) && shape.is_outermost);
    for (size_t i = 0; i < stack.count && test_faults; i++) {
        printf("# #%zu %p\n", i, stack.frames[i]);
    }
}

static volatile int is_spinning, must_end;

static __attribute__((noinline)) int ends(void) {
    is_spinning = 1;
    return must_end;
}

static __attribute__((noinline)) int spin(void) {
    while (!ends()) {
    }
    return 1;
}

static __attribute__((noinline)) int spin_in_call(void) {
    return spin() + 1;
}

static void *spin_in_thread(void *unused) {
    return spin_in_call() ? unused : NULL;
}

/* Of a thread that runs, from its start inwards, by the chain of frame records. */
static void follows_a_running_thread(void) {
    void *const functions[] = {(void *)spin, (void *)spin_in_call, (void *)spin_in_thread};
    enum { COUNT = sizeof functions / sizeof functions[0] };
    static struct stack stack;
    const struct thread_look look = {.call = -1};
    struct cfi_shape shape;
    size_t found = 0;
    pthread_t thread;
    pthread_create(&thread, NULL, spin_in_thread, NULL);
    while (!is_spinning) {
        usleep(1000);
    }
    top = (uintptr_t)thread;
    stacks_take(&look, &stack);
    must_end = 1;
    pthread_join(thread, NULL);
    for (size_t i = 0; i < stack.count; i++) {
        bool is_known = cfi_shape((uintptr_t)stack.frames[i], true, &shape);
        found += is_known && found < COUNT && shape.function == (uintptr_t)functions[found];
        printf("# #%zu %p in %p\n", i, stack.frames[i], is_known ? (void *)shape.function : NULL);
    }
    CHECK(stack.source == STACK_GUESSED && found == COUNT);
    CHECK(stack.count && cfi_shape((uintptr_t)stack.frames[stack.count - 1], true, &shape) && shape.is_outermost);
}

#endif

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *sleep_in_mutex(void *unused) {
    sleeper = (pid_t)syscall(SYS_gettid);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* From where a thread sleeps to where it began: its own function has a frame pointer here, and is called through a pointer, so
 * that not all may be certain. */
static void goes_to_the_outermost(void) {
    static struct stack stack;
    struct cfi_shape shape = {0}, own = {0};
    bool is_found = false;
    pthread_t thread;
    sleeper = 0;
    pthread_mutex_lock(&mutex);
    pthread_create(&thread, NULL, sleep_in_mutex, NULL);
    struct thread_look look = look_asleep(SYS_futex);
    stacks_take(&look, &stack);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    for (size_t i = 0; i < stack.count; i++) {
        is_found |= cfi_shape((uintptr_t)stack.frames[i], i > 0, &own) && own.function == (uintptr_t)sleep_in_mutex;
    }
    CHECK(is_found && stack.sure >= 3);
    CHECK(stack.count && cfi_shape((uintptr_t)stack.frames[stack.count - 1], true, &shape) && shape.is_outermost);
}

int main(void) {
#if defined(__x86_64__)
    RUN(finds_frames_by_frame_pointer);
#else
    RUN(follows_a_running_thread);
    RUN(guesses_signed_addresses);
    RUN(reads_signed_addresses);
#endif
    RUN(goes_to_the_outermost);
    return test_end();
}
