#include "cpython/bound.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"

/* The word is at offset 24 in 3.12 and at 32 from 3.13 to 3.15. Every state is well longer than these words. */
enum { WORDS = 64 / sizeof(uint32_t), TRIES = 4 };

/* The word holds some ten flags and nothing else. */
enum { FLAGS_END = 1 << 10 };

static uint32_t mask; /* 0: not known */
static int word;
static int tries;

static uint32_t word_of(const PyThreadState *state, int number) {
    uint32_t value;
    memcpy(&value, (const char *)state + (size_t)number * sizeof value, sizeof value);
    return value;
}

/* Returns the flag that `with` has and `without` has not. It must be the only difference of its word, and `without` and
 * `like_it` must have the same word (a number that counts states is not the same). Returns 0 if there is no such word,
 * or several. Sets `word`. */
static uint32_t compare(const PyThreadState *with, const PyThreadState *without, const PyThreadState *like_it) {
    uint32_t found = 0;
    int at = 0;
    for (int i = 0; i < WORDS; i++) {
        uint32_t more = word_of(with, i);
        uint32_t less = word_of(without, i);
        uint32_t flag = more & ~less;
        if (less != word_of(like_it, i) || more >= FLAGS_END || (less & ~more) || !flag || (flag & (flag - 1))) {
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

static void learn(PyInterpreterState *interp) {
    PyThreadState *before = slot_get();
    if (!slot_set(NULL)) {
        return;
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
    __atomic_store_n(&mask, found, __ATOMIC_RELEASE); /* not earlier, because slot_set uses it */
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

void bound_learn(const PyThreadState *attached) {
    if (!interp_slot_follows || !interp_is_debug || bound_is_known() || !slot_is_known()) {
        return;
    }
    PyInterpreterState *interp = interp_of(attached);
    if (!interp || (!slot_in_tls() && is_tracemalloc_on()) ||
        __atomic_fetch_add(&tries, 1, __ATOMIC_RELAXED) >= TRIES) {
        return;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    learn(interp);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
