#include "system/aside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD = 4096 * 16 /* one page of the largest size that Linux has on our processors */ };

/* In aside.S. Stores the stack pointer in *host, then calls body(argument) on the stack that ends at `top`. */
void __morestack(void (*body)(void *), void *argument, void *top, const void **host)
    __attribute__((visibility("hidden")));

/* The stack set aside for this thread. The thread is on it only if its stack pointer lies in it: a handler of a fault
 * may have left it by longjmp. */
static __thread struct {
    uintptr_t base;
    const void *host;
    bool is_ours; /* a thread of our own */
} self __attribute__((tls_model("initial-exec")));

/* Used when the process gets no more memory. reserve_taken_by is the pid of the process that uses it, so a fork child
 * finds it free. */
static char reserve[ASIDE_SIZE] __attribute__((aligned(64)));
static pid_t reserve_taken_by;

static bool is_aside(void) {
    return self.base && (uintptr_t)__builtin_frame_address(0) - self.base < ASIDE_SIZE;
}

const void *aside_host_stack(void) {
    return is_aside() ? self.host : NULL;
}

void aside_not_needed(void) {
    self.is_ours = true;
}

/* Returns the lowest address of a stack, or NULL if there is none. */
static char *take(void) {
    char *pages = mmap(NULL, GUARD + ASIDE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (pages != MAP_FAILED) {
        mprotect(pages, GUARD, PROT_NONE);
        return pages + GUARD;
    }
    pid_t me = getpid(), taken_by = __atomic_load_n(&reserve_taken_by, __ATOMIC_RELAXED);
    bool is_mine = taken_by != me && __atomic_compare_exchange_n(&reserve_taken_by, &taken_by, me, false,
                                                                 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
    return is_mine ? reserve : NULL;
}

static void give_back(char *base) {
    if (base == reserve) {
        __atomic_store_n(&reserve_taken_by, 0, __ATOMIC_RELEASE);
    } else {
        munmap(base - GUARD, GUARD + ASIDE_SIZE);
    }
}

static void block_signals(sigset_t *before) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, before);
}

bool aside_run(void (*body)(void *argument), void *argument) {
    if (self.is_ours || is_aside()) {
        body(argument);
        return true;
    }
    int saved_errno = errno, cancel_state;
    sigset_t before;
    char *base = take();
    if (!base) {
        errno = saved_errno;
        return false;
    }
    block_signals(&before);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    self.base = (uintptr_t)base;
#if defined(__x86_64__) || defined(__aarch64__)
    __morestack(body, argument, base + ASIDE_SIZE, &self.host);
#else
    body(argument);
#endif
    self.base = 0;
    pthread_setcancelstate(cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    give_back(base);
    errno = saved_errno;
    return true;
}
