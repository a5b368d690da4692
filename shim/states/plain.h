/* What a thread that has only ever had one state has attached or detached. These are the tests of the wrappers' short
 * way. The settled_ variants also work where calls are recorded. settled_attached and settled_has_parked ask CPython
 * what is attached, for where the place of it is not known. */
#pragma once

#include "cpython/counter.h"
#include "states/owner.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Returns the state that is in the slot and attached. With it, an Ensure need only count up and a Release count down,
 * which is all that CPython does then. Returns NULL if there is no such state, or it cannot be seen without a call. */
static inline PyThreadState *plain_counted(void) {
    if (UNLIKELY(owner_fast.verified != __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED))) {
        return NULL;
    }
    PyThreadState *state = *owner_fast.counted;
    return LIKELY(state && *owner_fast.current == state) ? state : NULL;
}

/* Return the state that a settled thread has attached, or NULL. Where CPython keeps it is known on plain threads. */
static inline PyThreadState *plain_attached(bool is_plain) {
    PyThreadState *own = is_plain ? *owner_fast.slot : NULL;
    return LIKELY(own && *owner_fast.current == own) ? own : NULL;
}
static inline PyThreadState *settled_attached(void) {
    PyThreadState *own = owner_is_settled() ? *owner_fast.slot : NULL;
    return own && interp_current() == own ? own : NULL;
}

/* Returns true if the thread is settled and what is attached can be seen without a call. */
static inline bool settled_can_see(void) {
    return owner_is_settled() && owner_fast.current;
}

/* Like plain_attached, for a settled thread. Returns NULL also if the place of the attached state is not known. */
static inline PyThreadState *settled_seen_attached(void) {
    return plain_attached(settled_can_see());
}

/* Return true if `state` is the one that a settled thread has detached and is to restore. An Ensure may have attached
 * it since; then they return false. */
static inline bool plain_has_parked(bool is_plain, const PyThreadState *state) {
    return is_plain && state && owner_fast.parked == state && *owner_fast.current != state;
}
static inline bool settled_has_parked(const PyThreadState *state) {
    return owner_is_settled() && state && owner_fast.parked == state && interp_current() != state;
}

/* Returns where the calling thread has its slot, as owner_enter or owner_leave found it last, or NULL if that is not
 * known. The thread has to be settled, or in the gear "two states". */
static inline slot_place *known_slot(void) {
    return owner_fast.slot != &owner_fast.own ? owner_fast.slot : NULL;
}

/* Returns true if `value` is the state of the calling thread, which has to be settled. */
static inline bool settled_is_own(const void *value) {
    return value && value == *owner_fast.slot;
}

/* Called before a real PyGILState_Release on a settled thread. Returns false if the Release has to go by the rules. */
static inline bool settled_may_release(int gilstate) {
    PyThreadState *own = *owner_fast.slot;
    if (gilstate == GILSTATE_LOCKED) {
        /* The Ensure may have found another state attached; then this Release must not free `own` (I-4). */
        bool has_another = owner_fast.parked && owner_fast.parked != own;
        return LIKELY(!has_another || !own || counter_offset < 0 || *counter_of(own) > 1);
    }
    /* Count 2: the state's maker and this Ensure count in it, and nothing has to be known. Count 1: this Release frees
     * the state, and whoever has filed it must notice. Higher: others count in it as well, and it stays to be attached
     * again. */
    int count = own && counter_offset >= 0 ? *counter_of(own) : COUNTER_UNKNOWN;
    if (count == 2) {
        /* The state stays, detached by this Release as by a SaveThread. cffi's callbacks leave it to whoever restores
         * it. */
        if (!owner_fast.parked) {
            owner_fast.parked = own;
        }
    } else if (count > 2 || owner_fast.is_watched) {
        return false;
    } else if (!owner_fast.parked) {
        owner_fast.own = NULL; /* it may be freed now; a state that a SaveThread has parked cannot be */
    }
    return true;
}
