#include "cpython/head_lock.h"

#include <stddef.h>

#include "cpython/interp.h"
#include "cpython/real.h"

/* Returns the place of the lock (interpreters.mutex): the word in front of the newest and the main interpreter, which lie side
 * by side (interpreters.head, interpreters.main). Returns NULL if it is not found. */
static void *const *find(void) {
    enum { WORDS_SOUGHT = 64 /* it is among the first 12 */ };
    void *const *words = (void *const *)(const void *)real._PyRuntime;
    const void *head = real.PyInterpreterState_Head(), *main = real.PyInterpreterState_Main();
    for (size_t i = 1; head && main && i + 1 < WORDS_SOUGHT; i++) {
        if (words[i] == head && words[i + 1] == main) {
            return &words[i - 1];
        }
    }
    return NULL;
}

bool head_lock_is_needed(void) {
    return !interp_slot_follows;
}

bool head_lock_is_known(void) {
    return real._PyRuntime && real.PyInterpreterState_Main && real.PyThread_acquire_lock &&
           real.PyThread_release_lock && find();
}

bool head_lock_was_left(void) {
    enum { NOWAIT = 0 };
    void *lock = *find();
    bool is_free = !lock || real.PyThread_acquire_lock(lock, NOWAIT);
    if (lock && is_free) {
        real.PyThread_release_lock(lock);
    }
    return !is_free;
}

const void *head_lock_taker(void) {
    return real.PyOS_AfterFork_Child ? (const char *)(const void *)real.PyOS_AfterFork_Child + 1 : NULL;
}

/* It is a semaphore: who frees it need not have taken it. */
void head_lock_free(void) {
    real.PyThread_release_lock(*find());
}
