#include "system/thunks.h"

#include <stddef.h>

static const void *const nothing;

__thread struct thunk_pass thunk_pass = {&nothing, &nothing};

thunk_judge_function *thunk_judge;

/* In thunks.S: THUNK_COUNT thunks of the same size. */
extern const char thunk_first[] __attribute__((visibility("hidden")));
extern const char thunk_end[] __attribute__((visibility("hidden")));
const void *thunk_targets[THUNK_COUNT] __attribute__((visibility("hidden")));

static unsigned taken;

static uintptr_t size_of_all(void) {
    return (uintptr_t)thunk_end - (uintptr_t)thunk_first;
}

const void *thunk_take(const void *target, unsigned *number) {
    if (taken == THUNK_COUNT) {
        return NULL;
    }
    *number = taken++;
    __atomic_store_n(&thunk_targets[*number], target, __ATOMIC_RELEASE);
    return thunk_first + *number * (size_of_all() / THUNK_COUNT);
}

void thunk_take_back(void) {
    taken = 0;
}

uintptr_t thunk_behind(uintptr_t address) {
    uintptr_t offset = address - (uintptr_t)thunk_first, size = size_of_all();
    return offset < size ? (uintptr_t)thunk_targets[offset / (size / THUNK_COUNT)] : address;
}

const void *thunk_target(unsigned number) {
    return thunk_targets[number];
}
