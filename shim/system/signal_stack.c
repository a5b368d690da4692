#include "system/signal_stack.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/dlsym_hook.h"

/* SIZE: handlers of the program that ask for an alternate stack run here as well. Go's expect 32 KiB of one that they
 * find, and what glibc recommends (_SC_SIGSTKSZ) grows with the registers that a processor has. Pages that nobody touches
 * cost nothing. GUARD: one page of the largest size that Linux has on our processors; it can't be used,
 * so that it is never populated (mlockall) or charged. */
enum { SIZE = 256 * 1024, GUARD = 64 * 1024 };

/* Threads whose stacks a fork child frees. What more threads have stays in its address space, and is never touched. */
enum { TRACKED = 4096 };

static struct {
    pthread_key_t key;
    bool is_wanted;
    size_t size;          /* of each */
    char *bases[TRACKED]; /* in use; NULL: no stack */
    unsigned next;        /* where to look for a free place */
} stacks;

/* The stack of this thread; NULL: none. */
static __thread struct {
    char *base;
    char **place;        /* in stacks.bases; NULL: none */
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
    const stack_t ours = {.ss_sp = base, .ss_size = stacks.size};
    return set(&ours, NULL) == 0;
}

/* Notes a stack in stacks.bases, for fork children. Returns its place, or NULL if there is no room. */
static char **track(char *base) {
    for (unsigned i = 0; i < TRACKED; i++) {
        char **place = &stacks.bases[__atomic_fetch_add(&stacks.next, 1, __ATOMIC_RELAXED) % TRACKED];
        char *none = NULL;
        if (!__atomic_load_n(place, __ATOMIC_RELAXED) &&
            __atomic_compare_exchange_n(place, &none, base, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return place;
        }
    }
    return NULL;
}

static void untrack(char **place) {
    if (place) {
        __atomic_store_n(place, NULL, __ATOMIC_RELEASE);
    }
}

static void unmap(char *base) {
    munmap(base - GUARD, GUARD + stacks.size);
}

/* The destructor of the key. Other libraries' destructors, and runtimes that use this stack (Go), come first. A handler
 * that runs on the stack may end the thread: then the kernel refuses, and the stack stays. */
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
    untrack(self.place);
    unmap(base);
}

void signal_stack_prepare(void) {
    (void)real_setter();
}

/* What glibc recommends, or 4 times what the kernel needs for a frame: sysconf knows neither below glibc 2.34. */
static size_t recommended_size(void) {
#ifdef _SC_SIGSTKSZ
    long size = sysconf(_SC_SIGSTKSZ);
    if (size > 0) {
        return (size_t)size;
    }
#endif
    enum { AT_MINIMUM = 51 }; /* AT_MINSIGSTKSZ */
    return 4 * getauxval(AT_MINIMUM);
}

void signal_stack_start(void) {
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE), recommended = recommended_size();
    stacks.size = recommended > SIZE ? (recommended + page_size - 1) & -page_size : SIZE;
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
            mmap(NULL, GUARD + stacks.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        bool is_mapped = pages != MAP_FAILED;
        if (is_mapped && mprotect(pages + GUARD, stacks.size, PROT_READ | PROT_WRITE) == 0 &&
            pthread_setspecific(stacks.key, pages + GUARD) == 0 && install(pages + GUARD)) {
            self.base = pages + GUARD;
            self.place = track(self.base);
        } else if (is_mapped) {
            pthread_setspecific(stacks.key, NULL);
            unmap(pages + GUARD);
        }
    }
    errno = saved_errno;
}

void signal_stack_forked(void) {
    int saved_errno = errno;
    unsigned used = stacks.next < TRACKED ? stacks.next : TRACKED;
    for (unsigned i = 0; i < used; i++) {
        char *base = stacks.bases[i];
        if (base && base != self.base) {
            stacks.bases[i] = NULL;
            unmap(base);
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
