#include "cpython/counter.h"

#include <string.h>

#include "cpython/real.h"

/* The smallest PyThreadState of any version has 168 bytes (2.7, where the counter is at 132). The counter is at a lower
 * offset in all of 2.7 to 3.15 (at most 160). */
enum { WORDS = 168 / sizeof(int32_t) };

int counter_offset = -1;

void counter_learn(PyThreadState *attached) {
    if (counter_is_known()) {
        return;
    }
    int32_t before[WORDS];
    int32_t after[WORDS];
    memcpy(before, attached, sizeof before);
    if (real.PyGILState_Ensure() != GILSTATE_LOCKED) {
        return; /* not attached after all, which can't be; a Release would only make it worse */
    }
    memcpy(after, attached, sizeof after);
    int found = -1;
    int candidates = 0;
    for (int i = 0; i < WORDS; i++) {
        if (after[i] == before[i] + 1) {
            found = i;
            candidates++;
        }
    }
    if (candidates != 1) {
        real.PyGILState_Release(GILSTATE_LOCKED);
        return;
    }
    /* The count is restored by hand, because Release would free a state whose count was 0 (pybind11 before its
     * inc_ref). */
    memcpy((char *)attached + (size_t)found * sizeof(int32_t), &before[found], sizeof(int32_t));
    __atomic_store_n(&counter_offset, found * (int)sizeof(int32_t), __ATOMIC_RELAXED);
}

bool counter_is_known(void) {
    return __atomic_load_n(&counter_offset, __ATOMIC_RELAXED) >= 0;
}

int counter_read(const PyThreadState *state) {
    int offset = __atomic_load_n(&counter_offset, __ATOMIC_RELAXED);
    int32_t count = COUNTER_UNKNOWN;
    if (offset >= 0) {
        memcpy(&count, (const char *)state + offset, sizeof count);
    }
    return count;
}

bool counter_add(PyThreadState *attached, int amount) {
    int count = counter_read(attached);
    if (count == COUNTER_UNKNOWN) {
        return false;
    }
    int32_t changed = count + amount;
    memcpy((char *)attached + counter_offset, &changed, sizeof changed);
    return true;
}

void counter_forget(void) {
    __atomic_store_n(&counter_offset, -1, __ATOMIC_RELAXED);
}
