#include "process/locks.h"

#include <errno.h>

static __thread bool are_all_held __attribute__((tls_model("initial-exec")));

void locks_all_held(bool are_held) {
    are_all_held = are_held;
}

bool locks_take(struct lock *lock) {
    bool is_again = !are_all_held && pthread_mutex_lock(&lock->mutex) == EDEADLK;
    lock->again += is_again;
    return !is_again;
}

void locks_give(struct lock *lock) {
    if (are_all_held) {
        return;
    }
    if (lock->again) {
        lock->again--;
    } else {
        pthread_mutex_unlock(&lock->mutex);
    }
}

void locks_give_after_fork(struct lock *lock, bool is_child) {
    if (is_child) {
        *lock = (struct lock)LOCK_INITIALIZER;
    } else {
        locks_give(lock);
    }
}
