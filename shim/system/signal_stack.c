#include "system/signal_stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/dlsym_hook.h"

/* SIZE: handlers of the program that ask for an alternate stack run here as well. Go's expect 32 KiB of one that they
 * find. GUARD: one page of the largest size that Linux has on our processors; it can't be used, so that it is never
 * populated (mlockall) or charged. */
enum { SIZE = 64 * 1024, GUARD = 64 * 1024 };

static struct {
    pthread_key_t key;
    bool is_wanted;
} stacks;

/* The stack of this thread; NULL: none. */
static __thread struct {
    char *base;
    bool was_asked;      /* signal_stack_give has been called */
    uint8_t exit_rounds; /* how often thread_ends has put off its work */
} self __attribute__((tls_model("initial-exec")));

/* The sanitizers' runtimes call sigaltstack before their instrumentation works. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

typedef int setter(const stack_t *stack, stack_t *old);

EARLY static setter *real_setter(void) {
    static setter *found;
    if (!__atomic_load_n(&found, __ATOMIC_RELAXED)) {
        __atomic_store_n(&found, (setter *)libc_real_dlsym(RTLD_NEXT, "sigaltstack"), __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&found, __ATOMIC_RELAXED);
}

/* For the thread itself, as the kernel has it: other preloads need not know of it. */
static int set(const stack_t *stack, stack_t *old) {
    return (int)syscall(SYS_sigaltstack, stack, old);
}

static bool install(char *base) {
    const stack_t ours = {.ss_sp = base, .ss_size = SIZE};
    return set(&ours, NULL) == 0;
}

/* The destructor of the key. Other libraries' destructors, and runtimes that use this stack (Go), come first. A handler that runs on the stack may end the thread: then the kernel refuses, and the stack
 * stays. */
static void thread_ends(void *base) {
    const stack_t none = {.ss_flags = SS_DISABLE};
    stack_t now;
    enum { ROUNDS = 2 }; /* of PTHREAD_DESTRUCTOR_ITERATIONS, 4 */
    if (self.exit_rounds++ < ROUNDS && pthread_setspecific(stacks.key, base) == 0) {
        return;
    }
    self.base = NULL;
    if (set(NULL, &now) != 0 || (now.ss_sp == base && set(&none, NULL) != 0)) {
        return;
    }
    munmap((char *)base - GUARD, GUARD + SIZE);
}

void signal_stack_prepare(void) {
    (void)real_setter();
}

void signal_stack_start(void) {
    stacks.is_wanted = pthread_key_create(&stacks.key, thread_ends) == 0;
}

void signal_stack_give(void) {
    stack_t now;
    if (!stacks.is_wanted || self.was_asked) {
        return;
    }
    self.was_asked = true;
    int saved_errno = errno;
    if (set(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE)) {
        char *pages =
            mmap(NULL, GUARD + SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        bool is_mapped = pages != MAP_FAILED;
        if (is_mapped && mprotect(pages + GUARD, SIZE, PROT_READ | PROT_WRITE) == 0 &&
            pthread_setspecific(stacks.key, pages + GUARD) == 0 && install(pages + GUARD)) {
            self.base = pages + GUARD;
        } else if (is_mapped) {
            pthread_setspecific(stacks.key, NULL);
            munmap(pages, GUARD + SIZE);
        }
    }
    errno = saved_errno;
}

void signal_stack_leave(void) {
    const stack_t none = {.ss_flags = SS_DISABLE};
    set(&none, NULL);
}

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
EARLY __attribute__((visibility("default"))) int sigaltstack(const stack_t *stack, stack_t *old) {
    setter *real = real_setter();
    stack_t before;
    bool takes_away = stack && (stack->ss_flags & SS_DISABLE); /* `old` may be the same */
    if (!self.base) {
        return real ? real(stack, old) : set(stack, old);
    }
    int result = real ? real(stack, &before) : set(stack, &before);
    if (result != 0) {
        return result;
    }
    if (before.ss_sp == self.base) {
        before = (stack_t){.ss_flags = SS_DISABLE};
    }
    if (old) {
        *old = before;
    }
    if (takes_away) {
        int saved_errno = errno;
        install(self.base);
        errno = saved_errno;
    }
    return result;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
