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

void head_lock_free_in_child(void) {
    bool may_be_taken = !interp_slot_follows && real._PyRuntime && real.PyInterpreterState_Main &&
                        real.PyThread_acquire_lock && real.PyThread_release_lock;
    void *const *place = may_be_taken ? find() : NULL;
    if (place && *place) {
        enum { NOWAIT = 0 };
        (void)real.PyThread_acquire_lock(*place, NOWAIT); /* a semaphore: who frees it need not have taken it */
        real.PyThread_release_lock(*place);
    }
}
