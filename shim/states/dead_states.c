#include "states/dead_states.h"

#include "process/locks.h"
#include "system/list.h"

static struct lock lock = LOCK_INITIALIZER;
struct one {
    PyThreadState *state;
};
static struct list left; /* of struct one */
uint32_t dead_states_count;

static void tell_count(void) {
    __atomic_store_n(&dead_states_count, left.count, __ATOMIC_RELAXED);
}

bool dead_states_add(PyThreadState *state) {
    locks_take(&lock);
    struct one *one = list_push(&left, sizeof *one);
    if (one) {
        one->state = state;
    }
    tell_count();
    locks_give(&lock);
    return one != NULL;
}

PyThreadState *dead_states_take(void) {
    PyThreadState *state = NULL;
    locks_take(&lock);
    if (left.count > 0) {
        state = ((struct one *)left.items)[--left.count].state;
    }
    tell_count();
    locks_give(&lock);
    return state;
}

void dead_states_forget(void) {
    locks_take(&lock);
    left.count = 0;
    tell_count();
    locks_give(&lock);
}

void dead_states_before_fork(void) {
    locks_take(&lock);
}

void dead_states_after_fork(void) {
    locks_give(&lock);
}
