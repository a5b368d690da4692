#include "process/locks.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAITED = 1 };

/* How many forks of this thread hold all locks: a signal handler may fork in the middle of a fork. Its address stands for the
 * thread, also in the child. */
static __thread unsigned holds_all __attribute__((tls_model("initial-exec")));

void locks_all_held(bool are_held) {
    holds_all += are_held ? 1u : -1u;
}

/* The kernel compares and wakes by the lower half of the word, in which WAITED is. */
static void call_futex(struct lock *lock, int operation, uintptr_t value) {
    int saved_errno = errno;
    syscall(SYS_futex, &lock->owner, operation, (uint32_t)value, NULL);
    errno = saved_errno;
}

static void wait_for(struct lock *lock, uintptr_t me) {
    for (;;) {
        uintptr_t owner = 0;
        if (__atomic_compare_exchange_n(&lock->owner, &owner, me | WAITED, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return;
        }
        if ((owner & WAITED) || __atomic_compare_exchange_n(&lock->owner, &owner, owner | WAITED, false,
                                                            __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            call_futex(lock, FUTEX_WAIT_PRIVATE, owner | WAITED);
        }
    }
}

/* What is rare is a function of its own, so that the rest needs no registers to be saved. */
static __attribute__((noinline)) bool take_taken(struct lock *lock, uintptr_t me, uintptr_t owner) {
    if ((owner & ~(uintptr_t)WAITED) == me) {
        lock->again++;
        return false;
    }
    wait_for(lock, me);
    return true;
}

static __attribute__((noinline)) void wake_one(struct lock *lock) {
    call_futex(lock, FUTEX_WAKE_PRIVATE, 1);
}

bool locks_take(struct lock *lock) {
    uintptr_t me = (uintptr_t)&holds_all, owner = 0;
    if (holds_all || __atomic_compare_exchange_n(&lock->owner, &owner, me, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return true;
    }
    return take_taken(lock, me, owner);
}

void locks_give(struct lock *lock) {
    if (holds_all) {
        return;
    }
    if (lock->again) {
        lock->again--;
    } else if (__atomic_exchange_n(&lock->owner, 0, __ATOMIC_RELEASE) & WAITED) {
        wake_one(lock);
    }
}
