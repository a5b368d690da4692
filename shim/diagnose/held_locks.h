/* The locks that the calling thread holds, with the place where it took each: for check=locks. In thread-local storage
 * of a fixed size, so that no lock function allocates. All of it belongs to the calling thread and is async-signal-safe:
 * a handler that takes and gives back locks in the middle of any of these functions leaves the list as it was.
 *
 * The list may hold a lock that the thread no longer has: another thread has given it back, or a longjmp has skipped
 * that. held_locks_is_stale finds that out before something is made of it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lock_kind { LOCK_MUTEX, LOCK_READ, LOCK_WRITE, LOCK_ONCE, LOCK_GUARD };

enum { HELD_LOCKS = 16 };

struct held_locks {
    const void *locks[HELD_LOCKS]; /* NULL: given back, with others above it still held */
    const void *sites[HELD_LOCKS]; /* return addresses */
    uint8_t kinds[HELD_LOCKS];     /* enum lock_kind */
    uint32_t count;
    uint32_t tid;   /* of this thread; 0: not asked yet */
    bool is_inside; /* the shim is at work: what it calls is not judged */
};
extern __thread struct held_locks held_locks __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Looks for room in a full list: removes what is stale. Returns false, and counts the lock as lost, if there is none. */
bool held_locks_make_room(void);

/* Returns how many locks were not noted for want of room. */
uint64_t held_locks_lost(void);

/* Notes that the thread has taken the lock. */
static inline void held_locks_add(const void *lock, enum lock_kind kind, const void *site) {
    uint32_t place = held_locks.count;
    if (__builtin_expect(place < HELD_LOCKS, 1)) {
        held_locks.count = place + 1; /* first, so that a handler takes the next place */
    } else {
        if (!held_locks_make_room()) {
            return;
        }
        for (place = 0; held_locks.locks[place]; place++) {
        }
        held_locks.count = place < held_locks.count ? held_locks.count : place + 1;
    }
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    held_locks.kinds[place] = (uint8_t)kind;
    held_locks.sites[place] = site;
    held_locks.locks[place] = lock;
}

/* Returns the place of the lock in the list (its latest, if it is recursive), or -1. */
static inline int held_locks_find(const void *lock) {
    int place = (int)held_locks.count - 1;
    while (place >= 0 && held_locks.locks[place] != lock) {
        place--;
    }
    return place;
}

/* Notes that the lock at `place` was given back. */
static inline void held_locks_remove_at(int place) {
    held_locks.locks[place] = NULL;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    while (held_locks.count && !held_locks.locks[held_locks.count - 1]) {
        held_locks.count--;
    }
}

/* Notes that the lock was given back. A lock that is not in the list was taken unseen. */
static inline void held_locks_remove(const void *lock) {
    int place = held_locks_find(lock);
    if (place >= 0) {
        held_locks_remove_at(place);
    }
}

/* Returns the thread's id, which is asked for once. */
uint32_t held_locks_tid(void);

/* Returns true if the lock itself shows that this thread does not have the lock at `place`. The memory of the lock may
 * be gone. Makes a system call. */
bool held_locks_is_stale(int place);

/* In a fork child: the thread has another id, and the locks that it had. */
void held_locks_forked(void);
