#include "diagnose/lock_finding.h"

bool lock_finding_is_new(const void *one, const void *other) {
    enum { PAIRS = 1024, TRIES = 16 };
    static uint64_t told[PAIRS];
    uint64_t pair = ((uintptr_t)one * 0x9e3779b97f4a7c15u ^ (uintptr_t)other) * 0x9e3779b97f4a7c15u;
    pair = pair ? pair : 1;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t expected = 0;
        uint64_t *place = &told[((pair >> 32) + i) % PAIRS];
        if (__atomic_compare_exchange_n(place, &expected, pair, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return true;
        }
        if (expected == pair) {
            return false;
        }
    }
    return false;
}
