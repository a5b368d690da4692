/* The interposed lock functions. Each does what the real one does, and tells held_locks.c and lock_order.c of it. The
 * real call is made with nothing of the shim's in use: it may be cancelled, an exception may go through it, and it may
 * come back after a fork. errno is the real function's. */
#include "hooks/lock_hooks.h"

#include <errno.h>

#include "diagnose/current_thread.h"
#include "diagnose/frames.h"
#include "diagnose/gil_waits.h"
#include "diagnose/held_locks.h"
#include "diagnose/lock_order.h"
#include "diagnose/lock_table.h"
#include "process/options.h"
#include "system/aside.h"
#include "system/loader.h"

#define CALLER __builtin_return_address(0)
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

struct lock_real lock_real;

#define LOCK(type, name, parameters) static type lock_##name parameters;
#include "locks.def"
#undef LOCK

const void *const lock_wrappers[LOCK_FUNCTIONS] = {
#define LOCK(type, name, parameters) (const void *)lock_##name,
#include "locks.def"
#undef LOCK
};

/* ---- around a wait ---------------------------------------------------------------------------------------------- */

/* Before a call that may wait for the lock. Returns whether the thread has the GIL. */
static inline bool before_lock(const void *lock, enum lock_kind kind, const void *site) {
    if (held_locks.is_inside) {
        return false;
    }
    bool has_gil = current_thread_has_gil();
    if (has_gil || held_locks.count) {
        lock_order_waits(lock, kind, has_gil, site);
    }
    return has_gil;
}

/* Takes the time of a call that may block with the GIL held, if hold= is given. */
static inline struct gil_wait begin_hold(bool has_gil, enum lock_function function, const void *site) {
    return has_gil && options.hold_ns ? gil_waits_begin(function, 0, false, site) : (struct gil_wait){-1, 0};
}
static inline void end_hold(const struct gil_wait *wait, enum lock_function function, const void *site) {
    if (wait->begun) {
        gil_waits_end(wait, function, site);
    }
}

/* Whether the call has taken the lock. A robust mutex whose owner has died is taken as well. */
static inline bool is_taken(int result) {
    return result == 0 || result == EOWNERDEAD;
}

static inline int after_lock(int result, const void *lock, enum lock_kind kind, const void *site) {
    if (is_taken(result)) {
        held_locks_add(lock, kind, site);
    }
    return result;
}

/* A call that waits for the lock without end. */
#define WAIT_FOR(name, lock, kind)                                           \
    do {                                                                     \
        const void *site = CALLER;                                           \
        bool has_gil = before_lock(lock, kind, site);                        \
        struct gil_wait wait = begin_hold(has_gil, LOCK_INDEX_##name, site); \
        int result = lock_real.name(lock);                                   \
        end_hold(&wait, LOCK_INDEX_##name, site);                            \
        return after_lock(result, lock, kind, site);                         \
    } while (0)

/* A call that gives up after some time. */
#define WAIT_UNTIL(name, lock, kind, ...)                                    \
    do {                                                                     \
        const void *site = CALLER;                                           \
        bool has_gil = options.hold_ns && current_thread_has_gil();          \
        struct gil_wait wait = begin_hold(has_gil, LOCK_INDEX_##name, site); \
        int result = lock_real.name(lock, __VA_ARGS__);                      \
        end_hold(&wait, LOCK_INDEX_##name, site);                            \
        return after_lock(result, lock, kind, site);                         \
    } while (0)

/* ---- mutexes ---------------------------------------------------------------------------------------------------- */

static int lock_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    lock_order_forget(mutex);
    return lock_real.pthread_mutex_init(mutex, attributes);
}

static int lock_pthread_mutex_destroy(pthread_mutex_t *mutex) {
    int result = lock_real.pthread_mutex_destroy(mutex);
    if (result == 0) {
        lock_order_forget(mutex);
    }
    return result;
}

static int lock_pthread_mutex_lock(pthread_mutex_t *mutex) {
    WAIT_FOR(pthread_mutex_lock, mutex, LOCK_MUTEX);
}

static int lock_pthread_mutex_trylock(pthread_mutex_t *mutex) {
    return after_lock(lock_real.pthread_mutex_trylock(mutex), mutex, LOCK_MUTEX, CALLER);
}

static int lock_pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) {
    WAIT_UNTIL(pthread_mutex_timedlock, mutex, LOCK_MUTEX, until);
}

static int lock_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
    WAIT_UNTIL(pthread_mutex_clocklock, mutex, LOCK_MUTEX, clock, until);
}

/* Noted before it is given back: afterwards another thread may destroy it. If it was not this thread's, the real function
 * says so, and the list was wrong. */
static int lock_pthread_mutex_unlock(pthread_mutex_t *mutex) {
    held_locks_remove(mutex);
    return lock_real.pthread_mutex_unlock(mutex);
}

/* ---- rwlocks ---------------------------------------------------------------------------------------------------- */

static int lock_pthread_rwlock_destroy(pthread_rwlock_t *lock) {
    int result = lock_real.pthread_rwlock_destroy(lock);
    if (result == 0) {
        lock_order_forget(lock);
    }
    return result;
}

static int lock_pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    WAIT_FOR(pthread_rwlock_rdlock, lock, LOCK_READ);
}

static int lock_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock) {
    return after_lock(lock_real.pthread_rwlock_tryrdlock(lock), lock, LOCK_READ, CALLER);
}

static int lock_pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *until) {
    WAIT_UNTIL(pthread_rwlock_timedrdlock, lock, LOCK_READ, until);
}

static int lock_pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    WAIT_FOR(pthread_rwlock_wrlock, lock, LOCK_WRITE);
}

static int lock_pthread_rwlock_trywrlock(pthread_rwlock_t *lock) {
    return after_lock(lock_real.pthread_rwlock_trywrlock(lock), lock, LOCK_WRITE, CALLER);
}

static int lock_pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *until) {
    WAIT_UNTIL(pthread_rwlock_timedwrlock, lock, LOCK_WRITE, until);
}

static int lock_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    held_locks_remove(lock);
    return lock_real.pthread_rwlock_unlock(lock);
}

/* ---- waits for something else ----------------------------------------------------------------------------------- */

/* A wait that can be cancelled. `finish_wait` also runs when the thread is unwound. */
struct pending {
    struct gil_wait wait;
    enum lock_function function;
    const void *site;
    bool is_noted;
    /* of pthread_cond_*wait: the mutex, which the thread has again when the wait ends in any way */
    const void *mutex, *mutex_site;
};

struct search {
    uintptr_t runtime; /* the C++ runtime */
    const void *found;
};

static void find_caller(void *argument) {
    enum { FRAMES = 16 };
    struct search *search = argument;
    void *frames[FRAMES];
    bool is_guess;
    size_t count = frames_here(frames, FRAMES, NULL, &is_guess);
    uintptr_t self = loader_object_of((const void *)find_caller);
    for (size_t i = 0; i < count && !is_guess && !search->found; i++) {
        uintptr_t object = loader_object_of((const char *)frames[i] - 1);
        search->found = object && object != self && object != search->runtime ? frames[i] : NULL;
    }
}

/* std::thread::join is the C++ runtime's: finds who called that. */
static const void *outside_runtime(const void *site) {
    uintptr_t runtime =
        lock_real.__cxa_guard_acquire ? loader_object_of((const void *)lock_real.__cxa_guard_acquire) : 0;
    struct search search = {runtime, NULL};
    if (runtime && loader_object_of(site) == runtime) {
        held_locks.is_inside = true; /* the unwinder has locks */
        aside_run(find_caller, &search);
        held_locks.is_inside = false;
    }
    return search.found ? search.found : site;
}

static struct pending begin_wait(enum lock_function function, uintptr_t thread, const void *caller) {
    struct pending pending = {.wait = {-1, 0}, .function = function, .site = caller};
    if (!held_locks.is_inside && current_thread_has_gil()) {
        const void *site = pending.site = outside_runtime(caller);
        pending.wait = gil_waits_begin(function, thread, true, site);
        pending.is_noted = true;
    }
    return pending;
}

static void finish_wait(void *argument) {
    const struct pending *pending = argument;
    if (pending->is_noted) {
        gil_waits_end(&pending->wait, pending->function, pending->site);
    }
    if (pending->mutex_site) {
        held_locks_add(pending->mutex, LOCK_MUTEX, pending->mutex_site);
    }
}

/* The wait is also finished if it is cancelled. This file is compiled without exceptions (Makefile), so that the cleanup
 * handler is libc's, and the library does not need libgcc for it. Unwinding passes through these functions all the
 * same. */
#define WAITS(begin, wait)                       \
    struct pending pending = begin;              \
    int wait_status;                             \
    pthread_cleanup_push(finish_wait, &pending); \
    wait_status = wait;                          \
    pthread_cleanup_pop(1);                      \
    return wait_status

/* The mutex is taken again at the end of the wait, with the GIL and what else the thread has: this order is noted now,
 * while the thread can be stopped in it. */
static struct pending begin_condition(enum lock_function function, pthread_mutex_t *mutex, const void *site) {
    struct pending pending = begin_wait(function, 0, site);
    int place = held_locks_find(mutex);
    if (place >= 0) {
        pending.mutex = mutex;
        pending.mutex_site = held_locks.sites[place];
        held_locks_remove_at(place);
        before_lock(mutex, LOCK_MUTEX, site);
    }
    return pending;
}

static int lock_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex) {
    WAITS(begin_condition(LOCK_INDEX_pthread_cond_wait, mutex, CALLER), lock_real.pthread_cond_wait(condition, mutex));
}

static int lock_pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                       const struct timespec *until) {
    WAITS(begin_condition(LOCK_INDEX_pthread_cond_timedwait, mutex, CALLER),
          lock_real.pthread_cond_timedwait(condition, mutex, until));
}

static int lock_pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                       const struct timespec *until) {
    WAITS(begin_condition(LOCK_INDEX_pthread_cond_clockwait, mutex, CALLER),
          lock_real.pthread_cond_clockwait(condition, mutex, clock, until));
}

static int lock_pthread_join(pthread_t thread, void **result) {
    WAITS(begin_wait(LOCK_INDEX_pthread_join, (uintptr_t)thread, CALLER), lock_real.pthread_join(thread, result));
}

static int lock_sem_wait(sem_t *semaphore) {
    WAITS(begin_wait(LOCK_INDEX_sem_wait, 0, CALLER), lock_real.sem_wait(semaphore));
}

static int lock_sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    WAITS(begin_wait(LOCK_INDEX_sem_timedwait, 0, CALLER), lock_real.sem_timedwait(semaphore, until));
}

/* ---- initializations -------------------------------------------------------------------------------------------- */

/* Noted as held by whoever calls, for as long as the call takes. A thread that finds the initialization done, or waits
 * for it, is back before it can take anything else. An exception that leaves the initialization (std::call_once) leaves
 * it in the list, where it is stale. */
static int lock_pthread_once(pthread_once_t *once, void (*initialize)(void)) {
    const void *site = CALLER;
    before_lock(once, LOCK_ONCE, site);
    held_locks_add(once, LOCK_ONCE, site);
    int result = lock_real.pthread_once(once, initialize);
    held_locks_remove(once);
    return result;
}

/* The compiler's code calls this only as long as the variable is not initialized. */
static int lock___cxa_guard_acquire(void *guard) {
    const void *site = CALLER;
    bool has_gil = before_lock(guard, LOCK_GUARD, site);
    struct gil_wait wait = begin_hold(has_gil, LOCK_INDEX___cxa_guard_acquire, site);
    int is_to_initialize = lock_real.__cxa_guard_acquire(guard);
    end_hold(&wait, LOCK_INDEX___cxa_guard_acquire, site);
    if (is_to_initialize) {
        held_locks_add(guard, LOCK_GUARD, site);
    }
    return is_to_initialize;
}

static void lock___cxa_guard_release(void *guard) {
    held_locks_remove(guard);
    lock_real.__cxa_guard_release(guard);
}

static void lock___cxa_guard_abort(void *guard) {
    held_locks_remove(guard);
    lock_real.__cxa_guard_abort(guard);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void lock_free(void *memory) {
    if (LIKELY(memory != NULL)) {
        size_t size = lock_real.malloc_usable_size(memory);
        if (lock_table_may_have(memory, size)) {
            lock_table_forget_range(memory, size);
        }
    }
    lock_real.free(memory);
}
