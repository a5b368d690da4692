#include "cpython/bound.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "system/thread.h"

/* The word is at offset 24 in 3.12 and at 32 from 3.13 to 3.15. Every state is well longer than these words. */
enum { WORDS = 64 / sizeof(uint32_t), TRIES = 4 };

/* The word holds some ten flags and nothing else. */
enum { FLAGS_END = 1 << 10 };

/* A state's first words, as they were at one moment. */
struct words {
    uint32_t at[WORDS];
};

static uint32_t mask; /* 0: not known */
static int word;
static int tries;

/* Returns a word of a state, or of what was copied from one. */
static uint32_t word_of(const void *state, int number) {
    uint32_t value;
    memcpy(&value, (const char *)state + (size_t)number * sizeof value, sizeof value);
    return value;
}

/* Returns the flag that `with` has and `without` has not. It must be the only difference of its word, and `without` and
 * `like_it` must have the same word (a number that counts states is not the same). That word is not 0: it also says that
 * the state has been made. Returns 0 if there is no such word, or several. Sets `word`. */
static uint32_t compare(const void *with, const void *without, const void *like_it) {
    uint32_t found = 0;
    int at = 0;
    for (int i = 0; i < WORDS; i++) {
        uint32_t more = word_of(with, i);
        uint32_t less = word_of(without, i);
        uint32_t flag = more & ~less;
        bool is_flag = flag && !(flag & (flag - 1));
        if (!less || less != word_of(like_it, i) || more >= FLAGS_END || (less & ~more) || !is_flag) {
            continue;
        }
        if (found) {
            return 0;
        }
        found = flag;
        at = i;
    }
    word = at;
    return found;
}

/* Nothing here lets another thread run: `attached` stays attached, while the slot does not name it. */
static uint32_t find_with_empty_slot(PyInterpreterState *interp) {
    PyThreadState *before = slot_get();
    if (!slot_set(NULL)) {
        return 0;
    }
    PyThreadState *with = real.PyThreadState_New(interp); /* it goes into the empty slot at once */
    PyThreadState *without = with && slot_get() == with ? real.PyThreadState_New(interp) : NULL;
    PyThreadState *like_it = without ? real.PyThreadState_New(interp) : NULL;
    uint32_t found = like_it ? compare(with, without, like_it) : 0;
    /* What PyThreadState_Clear calls may need the slot as it was (PyGILState_Check in the debug allocator). */
    PyThreadState *const made[] = {without, like_it, with};
    slot_set(before);
    for (int i = 0; i < 3; i++) {
        if (made[i]) {
            real.PyThreadState_Clear(made[i]);
        }
    }
    slot_set(with); /* Delete empties the slot that its state is in, and asserts that this is the one */
    for (int i = 0; i < 3; i++) {
        if (made[i]) {
            real.PyThreadState_Delete(made[i]);
        }
    }
    slot_set(before);
    return found;
}

/* In free-threaded builds, PyThreadState_New and Delete may wait for a lock or for a pause of all threads. CPython then
 * detaches what is attached and attaches it again, and asserts that it is in the slot. So the slot stays as it is: the
 * state that has the flag is `attached` itself while it is detached. */
static uint32_t find_while_detached(PyThreadState *attached, PyInterpreterState *interp) {
    PyThreadState *without = real.PyThreadState_New(interp);
    PyThreadState *like_it = without ? real.PyThreadState_New(interp) : NULL;
    uint32_t found = 0;
    if (like_it) {
        const PyThreadState *const states[] = {attached, without, like_it};
        struct words words[3];
        bool is_read = true;
        real.PyEval_SaveThread();
        for (int i = 0; i < 3; i++) { /* another thread may finalize Python, which frees them */
            is_read = is_read && thread_read_memory(states[i], &words[i], sizeof words[i]);
        }
        real.PyEval_RestoreThread(attached);
        found = is_read ? compare(&words[0], &words[1], &words[2]) : 0;
    }
    PyThreadState *const made[] = {without, like_it};
    for (int i = 0; i < 2; i++) {
        if (made[i]) {
            real.PyThreadState_Clear(made[i]);
            real.PyThreadState_Delete(made[i]);
        }
    }
    return found;
}

/* The second state of an interpreter is not to be one of the probe's in free-threaded builds: for that CPython 3.13 makes all functions,
 * classes and modules immortal. Until the program has made one itself, no state can be anybody else's. */
static bool is_alone(PyThreadState *attached, PyInterpreterState *interp) {
    return real.PyInterpreterState_ThreadHead(interp) == attached && !real.PyThreadState_Next(attached);
}

/* Returns true if tracemalloc is on. From 3.12 to 3.14 its hook calls PyGILState_Ensure in every allocation, even in
 * the one that makes a new state. With an empty slot, this would be fatal. The only way to ask is to make tracemalloc
 * take a trace, which is then taken back. */
static bool is_tracemalloc_on(void) {
    enum { DOMAIN = 0x67696c };
    if (!real.PyTraceMalloc_Track || !real.PyTraceMalloc_Untrack ||
        real.PyTraceMalloc_Track(DOMAIN, (uintptr_t)&mask, 0) == -2) {
        return false;
    }
    real.PyTraceMalloc_Untrack(DOMAIN, (uintptr_t)&mask);
    return true;
}

static bool is_to_be_learned(void) {
    return interp_slot_follows && interp_is_debug && !bound_is_known() && slot_is_known() &&
           __atomic_load_n(&tries, __ATOMIC_RELAXED) < TRIES;
}

bool bound_is_wanted(void) {
    return !interp_is_free_threaded && is_to_be_learned();
}

bool bound_is_wanted_in_turn(void) {
    return interp_is_free_threaded && is_to_be_learned();
}

void bound_learn(PyThreadState *attached) {
    PyInterpreterState *interp = interp_of(attached);
    bool can_be_found = interp_is_free_threaded ? interp && slot_get() == attached && !is_alone(attached, interp)
                                                : slot_in_tls() || !is_tracemalloc_on();
    if (!interp || !can_be_found || __atomic_fetch_add(&tries, 1, __ATOMIC_RELAXED) >= TRIES) {
        return;
    }
    uint32_t found;
    if (interp_is_free_threaded) {
        int error = errno;
        found = find_while_detached(attached, interp);
        errno = error;
    } else {
        sigset_t all;
        sigset_t before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        found = find_with_empty_slot(interp);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (found) {
        __atomic_store_n(&mask, found, __ATOMIC_RELEASE); /* not earlier, because slot_set uses it */
    }
}

bool bound_is_known(void) {
    return __atomic_load_n(&mask, __ATOMIC_ACQUIRE) != 0;
}

bool bound_is_set(const PyThreadState *state) {
    uint32_t flag = __atomic_load_n(&mask, __ATOMIC_ACQUIRE);
    return flag && (word_of(state, word) & flag);
}

bool bound_is_clear(const PyThreadState *state) {
    return bound_is_known() && !bound_is_set(state);
}

void bound_clear(PyThreadState *state) {
    uint32_t flag = __atomic_load_n(&mask, __ATOMIC_ACQUIRE);
    if (flag) {
        uint32_t value = word_of(state, word) & ~flag;
        memcpy((char *)state + (size_t)word * sizeof value, &value, sizeof value);
    }
}
