#include "states/legacy.h"

#include <pthread.h>

#include "process/locks.h"
#include "system/list.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct one {
    PyThreadState *state;
};
static struct list left; /* of struct one */
uint32_t legacy_count;

static void tell_count(void) {
    __atomic_store_n(&legacy_count, left.count, __ATOMIC_RELAXED);
}

bool legacy_add(PyThreadState *state) {
    locks_take(&lock);
    struct one *one = list_push(&left, sizeof *one);
    if (one) {
        one->state = state;
    }
    tell_count();
    locks_give(&lock);
    return one != NULL;
}

PyThreadState *legacy_take(void) {
    PyThreadState *state = NULL;
    locks_take(&lock);
    if (left.count > 0) {
        state = ((struct one *)left.items)[--left.count].state;
    }
    tell_count();
    locks_give(&lock);
    return state;
}

void legacy_forget(void) {
    locks_take(&lock);
    left.count = 0;
    tell_count();
    locks_give(&lock);
}

void legacy_before_fork(void) {
    locks_take(&lock);
}

void legacy_after_fork(void) {
    locks_give(&lock);
}
