#include "diagnose/held_locks.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/thread.h"

__thread struct held_locks held_locks __attribute__((tls_model("initial-exec")));

static uint64_t lost;

bool held_locks_make_room(void) {
    bool has_room = held_locks.count < HELD_LOCKS;
    for (int place = HELD_LOCKS - 1; place >= 0; place--) {
        if (held_locks.locks[place] && held_locks_is_stale(place)) {
            held_locks_remove_at(place);
        }
        has_room = has_room || !held_locks.locks[place];
    }
    if (!has_room) {
        __atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED);
    }
    return has_room;
}

uint64_t held_locks_lost(void) {
    return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}

uint32_t held_locks_tid(void) {
    if (!held_locks.tid) {
        held_locks.tid = (uint32_t)syscall(SYS_gettid);
    }
    return held_locks.tid;
}

/* Returns how often the lock is in the list behind `place`. */
static uint32_t later_of(int place) {
    uint32_t later = 0;
    for (uint32_t i = (uint32_t)place + 1; i < held_locks.count; i++) {
        later += held_locks.locks[i] == held_locks.locks[place];
    }
    return later;
}

/* A mutex and the writer of an rwlock name their owner. Of a pthread_once_t, the two lowest bits say that it is being
 * initialized (__PTHREAD_ONCE_INPROGRESS); of a guard, the second byte (libstdc++) or a bit of it (libc++abi). Readers
 * leave only their number. A mutex may be in the list more often than the thread has it: another thread has given it
 * back in between. */
bool held_locks_is_stale(int place) {
    const void *lock = held_locks.locks[place];
    union {
        pthread_mutex_t mutex;
        pthread_rwlock_t rwlock;
        pthread_once_t once;
        unsigned char guard[8];
    } copy;
    switch ((enum lock_kind)held_locks.kinds[place]) {
    case LOCK_MUTEX:
        return !thread_read_memory(lock, &copy.mutex, sizeof copy.mutex) ||
               (uint32_t)copy.mutex.__data.__owner != held_locks_tid() ||
               later_of(place) >= (copy.mutex.__data.__count ? copy.mutex.__data.__count : 1);
    case LOCK_WRITE:
        return !thread_read_memory(lock, &copy.rwlock, sizeof copy.rwlock) ||
               (uint32_t)copy.rwlock.__data.__cur_writer != held_locks_tid();
    case LOCK_READ:
        return !thread_read_memory(lock, &copy.rwlock, sizeof copy.rwlock) || copy.rwlock.__data.__readers < 8;
    case LOCK_ONCE: return !thread_read_memory(lock, &copy.once, sizeof copy.once) || (copy.once & 3) != 1;
    case LOCK_GUARD: return !thread_read_memory(lock, copy.guard, sizeof copy.guard) || copy.guard[0] != 0;
    }
    return false;
}

void held_locks_forked(void) {
    held_locks.tid = 0;
}
