/* The interposed lock functions. Each does what the real one does, and tells held_locks.c and lock_order.c of it. The
 * real call is made with nothing of the shim's in use: it may be cancelled, an exception or a longjmp may leave it, and it may
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
#include "system/ticks.h"

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

/* ---- around a call ---------------------------------------------------------------------------------------------- */

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

/* Takes the time of a call that may block with the GIL held, if hold= is given. Returns 0 if it is not taken. */
static inline uint64_t begin_hold(bool has_gil) {
    return has_gil && options.hold_ns ? ticks_now() : 0;
}
static inline void end_hold(uint64_t begun, enum lock_function function, const void *site) {
    if (begun) {
        gil_waits_end(&(struct gil_wait){begun, 0}, function, site);
    }
}

/* Whether the call has taken the lock. A robust mutex whose owner has died is taken as well. (thrd_success is 0, and none
 * of C11's other results is EOWNERDEAD.) */
static inline bool is_taken(int result) {
    return result == 0 || result == EOWNERDEAD;
}

static inline int after_lock(int result, const void *lock, enum lock_kind kind, const void *site) {
    if (is_taken(result)) {
        held_locks_add(lock, kind, site);
    }
    return result;
}

/* ---- mutexes and rwlocks ---------------------------------------------------------------------------------------- */

/* Waits for the lock without end. */
#define LOCKS(name, type, kind)                       \
    static int lock_##name(type *lock) {              \
        const void *site = CALLER;                    \
        bool has_gil = before_lock(lock, kind, site); \
        uint64_t begun = begin_hold(has_gil);         \
        int result = lock_real.name(lock);            \
        end_hold(begun, LOCK_INDEX_##name, site);     \
        return after_lock(result, lock, kind, site);  \
    }
LOCKS(pthread_mutex_lock, pthread_mutex_t, LOCK_MUTEX)
LOCKS(mtx_lock, mtx_t, LOCK_MUTEX)
LOCKS(pthread_rwlock_rdlock, pthread_rwlock_t, LOCK_READ)
LOCKS(pthread_rwlock_wrlock, pthread_rwlock_t, LOCK_WRITE)

/* Gives up after some time. The arguments are those after the lock. */
#define GIVES_UP(name, type, kind, parameters, ...)                 \
    static int lock_##name parameters {                             \
        const void *site = CALLER;                                  \
        bool has_gil = options.hold_ns && current_thread_has_gil(); \
        uint64_t begun = begin_hold(has_gil);                       \
        int result = lock_real.name(lock, __VA_ARGS__);             \
        end_hold(begun, LOCK_INDEX_##name, site);                   \
        return after_lock(result, lock, kind, site);                \
    }
#define LOCKS_UNTIL(name, type, kind) GIVES_UP(name, type, kind, (type * lock, const struct timespec *until), until)
#define LOCKS_BY_CLOCK(name, type, kind) \
    GIVES_UP(name, type, kind, (type * lock, clockid_t clock, const struct timespec *until), clock, until)
LOCKS_UNTIL(pthread_mutex_timedlock, pthread_mutex_t, LOCK_MUTEX)
LOCKS_UNTIL(mtx_timedlock, mtx_t, LOCK_MUTEX)
LOCKS_UNTIL(pthread_rwlock_timedrdlock, pthread_rwlock_t, LOCK_READ)
LOCKS_UNTIL(pthread_rwlock_timedwrlock, pthread_rwlock_t, LOCK_WRITE)
LOCKS_BY_CLOCK(pthread_mutex_clocklock, pthread_mutex_t, LOCK_MUTEX)
LOCKS_BY_CLOCK(pthread_rwlock_clockrdlock, pthread_rwlock_t, LOCK_READ)
LOCKS_BY_CLOCK(pthread_rwlock_clockwrlock, pthread_rwlock_t, LOCK_WRITE)

#define TRIES(name, type, kind)                                      \
    static int lock_##name(type *lock) {                             \
        return after_lock(lock_real.name(lock), lock, kind, CALLER); \
    }
TRIES(pthread_mutex_trylock, pthread_mutex_t, LOCK_MUTEX)
TRIES(mtx_trylock, mtx_t, LOCK_MUTEX)
TRIES(pthread_rwlock_tryrdlock, pthread_rwlock_t, LOCK_READ)
TRIES(pthread_rwlock_trywrlock, pthread_rwlock_t, LOCK_WRITE)

/* Noted before the lock is given back: afterwards another thread may destroy it. If it was not this thread's, the real
 * function says so, and the list was wrong. */
#define UNLOCKS(name, type)              \
    static int lock_##name(type *lock) { \
        held_locks_remove(lock);         \
        return lock_real.name(lock);     \
    }
UNLOCKS(pthread_mutex_unlock, pthread_mutex_t)
UNLOCKS(mtx_unlock, mtx_t)
UNLOCKS(pthread_rwlock_unlock, pthread_rwlock_t)

#define DESTROYS(name, type)               \
    static int lock_##name(type *lock) {   \
        int result = lock_real.name(lock); \
        if (result == 0) {                 \
            lock_order_forget(lock);       \
        }                                  \
        return result;                     \
    }
DESTROYS(pthread_mutex_destroy, pthread_mutex_t)
DESTROYS(pthread_rwlock_destroy, pthread_rwlock_t)

static void lock_mtx_destroy(mtx_t *mutex) {
    lock_real.mtx_destroy(mutex);
    lock_order_forget(mutex);
}

static int lock_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes) {
    lock_order_forget(mutex);
    return lock_real.pthread_mutex_init(mutex, attributes);
}

static int lock_mtx_init(mtx_t *mutex, int type) {
    lock_order_forget(mutex);
    return lock_real.mtx_init(mutex, type);
}

/* ---- waits for something else ----------------------------------------------------------------------------------- */

/* A wait may never come back: a cancellation, an exception or a longjmp of a signal handler may leave it. So nothing is
 * left to be undone: gil_waits.c finds that out by itself, and the mutex of a condition stays in the list. A cleanup handler
 * would be worse: glibc's own list of them would lead into a frame that a longjmp has left. */
struct pending {
    struct gil_wait wait;
    enum lock_function function;
    const void *site;
    const void *mutex, *mutex_site; /* of a wait for a condition, if the thread is known to have it */
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

static struct pending begin_wait(enum lock_function function, uintptr_t thread, const void *frame, const void *caller) {
    struct pending pending = {.wait = {0, 0}, .function = function, .site = caller};
    if (!held_locks.is_inside && current_thread_has_gil()) {
        pending.site = outside_runtime(caller);
        pending.wait = gil_waits_begin(function, thread, frame, pending.site);
    }
    return pending;
}

/* The mutex is taken again at the end of the wait, with the GIL and what else the thread has: this order is noted now,
 * while the thread can be stopped in it. Until then it is another's, as it shows itself (held_locks_is_stale). */
static struct pending begin_condition(enum lock_function function, const void *mutex, const void *frame,
                                      const void *site) {
    struct pending pending = begin_wait(function, 0, frame, site);
    int place = held_locks_find(mutex);
    if (place >= 0) {
        pending.mutex = mutex;
        pending.mutex_site = held_locks.sites[place];
        held_locks_remove_at(place);
        before_lock(mutex, LOCK_MUTEX, site);
        held_locks_add(mutex, LOCK_MUTEX, pending.mutex_site);
    }
    return pending;
}

static int finish_wait(const struct pending *pending, int result) {
    if (pending->wait.begun) {
        gil_waits_end(&pending->wait, pending->function, pending->site);
    }
    if (pending->mutex && held_locks_find(pending->mutex) < 0) { /* a signal handler has found it stale */
        held_locks_add(pending->mutex, LOCK_MUTEX, pending->mutex_site);
    }
    return result;
}

/* `begin`: the arguments of a begin_ function between the first and the last two. */
#define WAITS(name, parameters, begin, what, ...)                                                    \
    static int lock_##name parameters {                                                              \
        struct pending pending = begin(LOCK_INDEX_##name, what, __builtin_frame_address(0), CALLER); \
        return finish_wait(&pending, lock_real.name(__VA_ARGS__));                                   \
    }
WAITS(pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t *mutex), begin_condition, mutex, condition, mutex)
WAITS(pthread_cond_timedwait, (pthread_cond_t * condition, pthread_mutex_t *mutex, const struct timespec *until),
      begin_condition, mutex, condition, mutex, until)
WAITS(pthread_cond_clockwait,
      (pthread_cond_t * condition, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until),
      begin_condition, mutex, condition, mutex, clock, until)
WAITS(cnd_wait, (cnd_t * condition, mtx_t *mutex), begin_condition, mutex, condition, mutex)
WAITS(cnd_timedwait, (cnd_t * condition, mtx_t *mutex, const struct timespec *until), begin_condition, mutex, condition,
      mutex, until)
WAITS(pthread_join, (pthread_t thread, void **result), begin_wait, (uintptr_t)thread, thread, result)
WAITS(thrd_join, (thrd_t thread, int *result), begin_wait, (uintptr_t)thread, thread, result)
/* A join with an end may be asked for again and again: it is told of as other waits, not at once. */
WAITS(pthread_timedjoin_np, (pthread_t thread, void **result, const struct timespec *until), begin_wait, 0, thread,
      result, until)
WAITS(pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, const struct timespec *until),
      begin_wait, 0, thread, result, clock, until)
WAITS(pthread_barrier_wait, (pthread_barrier_t * barrier), begin_wait, 0, barrier)
WAITS(sem_wait, (sem_t * semaphore), begin_wait, 0, semaphore)
WAITS(sem_timedwait, (sem_t * semaphore, const struct timespec *until), begin_wait, 0, semaphore, until)
WAITS(sem_clockwait, (sem_t * semaphore, clockid_t clock, const struct timespec *until), begin_wait, 0, semaphore,
      clock, until)

/* ---- initializations -------------------------------------------------------------------------------------------- */

/* Noted as held by whoever calls, for as long as the call takes. A thread that finds the initialization done, or waits
 * for it, is back before it can take anything else. An exception that leaves the initialization (std::call_once) leaves
 * it in the list, where it is stale. */
static inline void begin_once(const void *once, const void *site) {
    before_lock(once, LOCK_ONCE, site);
    held_locks_add(once, LOCK_ONCE, site);
}

static int lock_pthread_once(pthread_once_t *once, void (*initialize)(void)) {
    begin_once(once, CALLER);
    int result = lock_real.pthread_once(once, initialize);
    held_locks_remove(once);
    return result;
}

static void lock_call_once(once_flag *once, void (*initialize)(void)) {
    begin_once(once, CALLER);
    lock_real.call_once(once, initialize);
    held_locks_remove(once);
}

/* The compiler's code calls this only as long as the variable is not initialized. */
static int lock___cxa_guard_acquire(void *guard) {
    const void *site = CALLER;
    bool has_gil = before_lock(guard, LOCK_GUARD, site);
    uint64_t begun = begin_hold(has_gil);
    int is_to_initialize = lock_real.__cxa_guard_acquire(guard);
    end_hold(begun, LOCK_INDEX___cxa_guard_acquire, site);
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
