/* What a thread that has only ever had one state has attached or saved away: the tests of the wrappers' short way, and of
 * those who ask CPython instead of looking: where calls are recorded, and where nobody knows where to look. */
#pragma once

#include "cpython/counter.h"
#include "states/owner.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* The state that an Ensure need only count in, and a Release count back, which is then all that CPython does itself: it
 * is in the slot, and attached. NULL if it isn't so, or can't be seen without a call. */
static inline PyThreadState *plain_counted(void) {
    if (UNLIKELY(owner_fast.verified != __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED))) {
        return NULL;
    }
    PyThreadState *state = *owner_fast.counted;
    return LIKELY(state && *owner_fast.current == state) ? state : NULL;
}

/* The state that a settled thread has attached, or NULL. Where CPython keeps it is known on plain threads. */
static inline PyThreadState *plain_attached(bool is_plain) {
    PyThreadState *own = is_plain ? *owner_fast.slot : NULL;
    return LIKELY(own && *owner_fast.current == own) ? own : NULL;
}
static inline PyThreadState *settled_attached(void) {
    PyThreadState *own = owner_is_settled() ? *owner_fast.slot : NULL;
    return own && interp_current() == own ? own : NULL;
}

/* Whether a thread needs no rule, though its calls may be recorded, and what is attached can be seen. */
static inline bool settled_can_see(void) {
    return owner_is_settled() && owner_fast.current;
}

/* As plain_attached, of a settled thread: its calls may be recorded, or the place not known (NULL then). */
static inline PyThreadState *settled_seen_attached(void) {
    return plain_attached(settled_can_see());
}

/* Whether `state` is the one that a settled thread has saved away and is to restore. An Ensure may have attached it in
 * between. */
static inline bool plain_has_parked(bool is_plain, const PyThreadState *state) {
    return is_plain && state && owner_fast.parked == state && *owner_fast.current != state;
}
static inline bool settled_has_parked(const PyThreadState *state) {
    return owner_is_settled() && state && owner_fast.parked == state && interp_current() != state;
}

/* Where a settled thread has its slot; NULL: that is not known. */
static inline slot_place *plain_slot(void) {
    return owner_fast.slot != &owner_fast.own ? owner_fast.slot : NULL;
}

/* Whether it is the state of a settled thread. */
static inline bool plain_is_own(const void *value) {
    return value && value == *owner_fast.slot;
}

/* Before a real PyGILState_Release on a plain thread. False: it has to go by the rules. */
static inline bool plain_may_release(int gilstate) {
    PyThreadState *own = *owner_fast.slot;
    if (gilstate == GILSTATE_LOCKED) {
        /* Its Ensure may have found the other one attached; then it must not free this one (I-4). */
        bool has_another = owner_fast.parked && owner_fast.parked != own;
        return LIKELY(!has_another || !own || counter_offset < 0 || *counter_of(own) > 1);
    }
    /* Nothing is to be known where its maker counts in it, and this Ensure. With 1 it is freed, which whoever has filed it must
     * notice. With more, others count in it as well: it is kept to be attached again. */
    int count = own && counter_offset >= 0 ? *counter_of(own) : COUNTER_UNKNOWN;
    if (count == 2) {
        /* It stays, detached by this Release, as by a SaveThread: cffi's call-backs leave it so to who restores it. */
        if (!owner_fast.parked) {
            owner_fast.parked = own;
        }
    } else if (count > 2 || owner_fast.is_watched) {
        return false;
    } else if (!owner_fast.parked) {
        owner_fast.own = NULL; /* it may be freed now; one that a SaveThread has parked can't */
    }
    return true;
}
