#include "cpython/head_lock.h"

#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/real.h"

enum { NOWAIT = 0 };

/* True between a fork's beginning and its end if this thread does not have the lock: then only others may. */
static __thread bool is_others __attribute__((tls_model("initial-exec")));

static bool is_version(int first, int last) {
    int major, minor;
    return interp_version(&major, &minor) && major == 3 && minor >= first && minor <= last;
}

/* Returns the place of the lock (interpreters.mutex): the word in front of the newest and the main interpreter, which lie side
 * by side (interpreters.head, interpreters.main). Returns NULL if it is not found. */
static void *const *find(void) {
    enum { WORDS_SOUGHT = 64 /* it is among the first 12; the structure has 82 at least */ };
    void *const *words = (void *const *)(const void *)real._PyRuntime;
    const void *head = real.PyInterpreterState_Head(), *main = real.PyInterpreterState_Main();
    for (size_t i = 1; head && main && i + 1 < WORDS_SOUGHT; i++) {
        if (words[i] == head && words[i + 1] == main) {
            return &words[i - 1];
        }
    }
    return NULL;
}

bool head_lock_is_needed(void) {
    return !interp_slot_follows && !is_version(7, 7);
}

bool head_lock_is_known(void) {
    return is_version(8, 11) && real._PyRuntime && real.PyInterpreterState_Main && real.PyInterpreterState_Next &&
           real.PyThread_acquire_lock && real.PyThread_release_lock && find();
}

/* At the end of Python the lock is freed. */
static void *get(void) {
    return head_lock_is_known() && !interp_is_finalizing() ? *find() : NULL;
}

/* Other threads have it for microseconds, but may not run meanwhile. No library function that sleeps, because those are points at
 * which a thread is cancelled, and fork is none. */
void head_lock_before_fork(void) {
    enum { YIELDS = 20, TRIES = 1000 };
    static const struct timespec pause = {0, 100000};
    void *lock = get();
    is_others = false;
    for (int i = 0; lock && !is_others && i < TRIES; i++) {
        is_others = real.PyThread_acquire_lock(lock, NOWAIT);
        if (!is_others && i < YIELDS) {
            sched_yield();
        } else if (!is_others) {
            syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
        }
    }
    if (is_others) {
        real.PyThread_release_lock(lock);
    }
}

bool head_lock_was_left(void) {
    void *lock = is_others ? get() : NULL;
    bool is_left = lock && !real.PyThread_acquire_lock(lock, NOWAIT);
    if (lock && !is_left) {
        real.PyThread_release_lock(lock);
    }
    return is_left;
}

const void *head_lock_taker(void) {
    return real.PyOS_AfterFork_Child ? (const char *)(const void *)real.PyOS_AfterFork_Child + 1 : NULL;
}

/* ---- a list that is half changed: its links forwards are always whole -------------------------------------------- */

/* A state begins with these. */
struct state {
    struct state *previous, *next;
    PyInterpreterState *interp;
};

static struct state *first_of(PyInterpreterState *interp) {
    return (struct state *)real.PyInterpreterState_ThreadHead(interp);
}

static bool is_understood(PyInterpreterState *interp) {
    for (struct state *at = first_of(interp); at; at = at->next) {
        if (at->next != (struct state *)real.PyThreadState_Next((PyThreadState *)at) ||
            (at->interp && at->interp != interp)) {
            return false;
        }
    }
    return true;
}

/* PyThreadState_Delete sets the link back last, and 3.11's PyThreadState_New puts a state into the list before it is filled. */
static void mend(PyInterpreterState *interp) {
    struct state *before = NULL;
    for (struct state *at = first_of(interp); at; at = at->next) {
        at->previous = before;
        at->interp = interp;
        before = at;
    }
}

/* The lock is a semaphore: who frees it need not have taken it. */
void head_lock_free(void) {
    for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
         interp = real.PyInterpreterState_Next(interp)) {
        if (is_understood(interp)) {
            mend(interp);
        }
    }
    real.PyThread_release_lock(*find());
}
