/* What a thread that has only ever had one state has attached or saved away: the tests of the wrappers' short way, shared
 * with those that record. `is_plain`: owner_is_plain() or owner_is_settled(). */
#pragma once

#include "owner.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* On a plain thread: what is attached to it, or some other thread's state (up to 3.11). */
static inline const PyThreadState *plain_current(void) {
    current_place *place = owner_fast.current;
    if (LIKELY(place != NULL)) {
        return *place; // cppcheck-suppress CastIntegerToAddressAtReturn ; it takes the typedef for an integer
    }
    return interp_current();
}

/* Whether the thread is plain and `state` is the one it has attached. */
static inline bool plain_has_attached(bool is_plain, const PyThreadState *state) {
    return is_plain && state && owner_fast.own == state && plain_current() == state;
}

/* Whether the thread is plain, and `state` the one that it saved away and is to restore. An Ensure may have attached it
 * in between. */
static inline bool plain_has_parked(bool is_plain, const PyThreadState *state) {
    return is_plain && state && owner_fast.parked == state && plain_current() != state;
}

/* Before a real PyGILState_Release on a plain thread. False: it has to go by the rules. */
static inline bool plain_may_release(int gilstate) {
    if (gilstate == GILSTATE_LOCKED) {
        return true;
    }
    if (owner_fast.is_watched) {
        return false;
    }
    if (!owner_fast.parked) {
        owner_fast.own = NULL; /* it may be freed now; one that a SaveThread has parked can't */
    }
    return true;
}
