#include "cpython/slot.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "cpython/bound.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "system/tls.h"

/* 3.6 to 3.14 use a pthread key (number 0 is a valid one). 2.7 keeps a list of its own, keyed by (thread, int). From
 * 3.15 on, the slot is a hidden thread-local, and `key` is the index of a word in CPython's block of thread-locals. */
enum kind { KIND_UNKNOWN, KIND_PTHREAD_KEY, KIND_PYTHON_KEY, KIND_THREAD_LOCAL };

void (*slot_without_room)(void);

static enum kind kind;
static int key;

/* The module whose thread-locals the slot is among (3.15+). It is not used for a libpython that can be closed. */
static size_t module;

/* The distance from pthread_self() to the word with the slot's content; 0: not known, or there is no key. glibc has the
 * values of the first 32 keys in the thread's own descriptor. Each has a number that tells whether the key has been
 * deleted since; if it has, every thread looks anew. */
static ptrdiff_t distance;

enum { PYTHON_KEYS_TRIED = 64 };

/* The descriptor is larger than that in every glibc, and the values are in this part of it. */
enum { DESCRIPTOR_BYTES = 0x600, WORD_BYTES = sizeof(void *) };

PyThreadState *slot_get(void) {
    return real.PyGILState_GetThisThreadState ? real.PyGILState_GetThisThreadState() : NULL;
}

bool slot_is_known(void) {
    return __atomic_load_n(&kind, __ATOMIC_ACQUIRE) != KIND_UNKNOWN;
}

static bool is_fixed(void) {
    return real_status.binding == REAL_SHARED || real_status.binding == REAL_STATIC;
}

/* Returns a word of CPython's block, or NULL if CPython has no thread-locals. In a libpython that was opened late, the
 * block may be made at first use: CPython uses it here. */
static PyThreadState **word_of_block(int number) {
    if (module && is_fixed()) {
        return tls_address(module, (size_t)number * sizeof(uintptr_t));
    }
    slot_get();
    struct tls_block block = tls_block_in_use((const void *)real.Py_IsInitialized);
    return (size_t)number < block.words ? (PyThreadState **)&block.start[number] : NULL;
}

const void *slot_in_tls(void) {
    return __atomic_load_n(&kind, __ATOMIC_ACQUIRE) == KIND_THREAD_LOCAL ? word_of_block(key) : NULL;
}

static PyThreadState *read_raw(enum kind of, int number) {
    if (of == KIND_THREAD_LOCAL) {
        PyThreadState *const volatile *word = word_of_block(number);
        return word ? *word : NULL;
    }
    return of == KIND_PTHREAD_KEY ? pthread_getspecific((pthread_key_t)number) : real.PyThread_get_key_value(number);
}

static void write_raw(enum kind of, int number, PyThreadState *state) {
    if (of == KIND_PTHREAD_KEY) {
        if (pthread_setspecific((pthread_key_t)number, state) != 0 && slot_without_room) {
            slot_without_room();
        }
        return;
    }
    if (of == KIND_THREAD_LOCAL) {
        PyThreadState *volatile *word = word_of_block(number);
        if (word) {
            *word = state;
        }
        return;
    }
    /* In 2.7, setting a value never overwrites one (thread.c, find_key). */
    real.PyThread_delete_key_value(number);
    if (state) {
        real.PyThread_set_key_value(number, state);
    }
}

/* Returns true if the candidate is the slot. pybind11's own key usually holds the same pointer, so a match alone proves
 * nothing. The candidate is emptied for a moment, and CPython is asked. */
static bool is_the_slot(enum kind candidate, int number, PyThreadState *state) {
    if (read_raw(candidate, number) != state) {
        return false;
    }
    write_raw(candidate, number, NULL);
    bool is_it = slot_get() == NULL;
    write_raw(candidate, number, state);
    return is_it && slot_get() == state;
}

static bool find_among(enum kind candidate, int first, int end, PyThreadState *state) {
    for (int number = first; number < end; number++) {
        if (is_the_slot(candidate, number, state)) {
            key = number;
            __atomic_store_n(&kind, candidate, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

static PyThreadState *volatile *at_distance(ptrdiff_t bytes) {
    return (PyThreadState *volatile *)((char *)pthread_self() + bytes);
}

/* Returns the distance of the word that changes with the key, or 0. Other words hold the same pointer. */
static ptrdiff_t find_distance(PyThreadState *state) {
    for (ptrdiff_t bytes = 0; kind == KIND_PTHREAD_KEY && bytes < DESCRIPTOR_BYTES; bytes += WORD_BYTES) {
        PyThreadState *volatile *word = at_distance(bytes);
        if (*word != state) {
            continue;
        }
        write_raw(kind, key, NULL);
        bool is_it = !*word;
        write_raw(kind, key, state);
        if (is_it && *word == state) {
            return bytes;
        }
    }
    return 0;
}

slot_place *slot_find(const PyThreadState *in_slot) {
    if (__atomic_load_n(&kind, __ATOMIC_ACQUIRE) == KIND_THREAD_LOCAL) {
        slot_place *word = is_fixed() ? word_of_block(key) : NULL;
        return word && *word == in_slot ? word : NULL;
    }
    ptrdiff_t bytes = __atomic_load_n(&distance, __ATOMIC_ACQUIRE);
    return bytes && *at_distance(bytes) == in_slot ? at_distance(bytes) : NULL;
}

bool slot_goes_by_ident(void) {
    return real._PyThreadState_Current && !real._PyThreadState_UncheckedGet;
}

void slot_learn(void) {
    PyThreadState *state = slot_is_known() ? NULL : slot_get();
    if (!state) {
        return;
    }
    /* Signals are blocked because faulthandler's handler asks for the slot. It would only see an empty slot, not
     * garbage, but it is to see neither. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!find_among(KIND_PTHREAD_KEY, 0, PTHREAD_KEYS_MAX, state)) {
        if (slot_goes_by_ident()) {
            find_among(KIND_PYTHON_KEY, 1, PYTHON_KEYS_TRIED, state);
        } else if (interp_slot_follows) {
            struct tls_block block = tls_block_in_use((const void *)real.Py_IsInitialized);
            module = block.module;
            find_among(KIND_THREAD_LOCAL, 0, (int)block.words, state);
        }
    }
    __atomic_store_n(&distance, find_distance(state), __ATOMIC_RELEASE);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool write_verified(PyThreadState *state) {
    enum kind of = __atomic_load_n(&kind, __ATOMIC_ACQUIRE);
    PyThreadState *before = slot_get();
    if (of == KIND_UNKNOWN || read_raw(of, key) != before) {
        return false;
    }
    write_raw(of, key, state);
    if (slot_get() == state) {
        return true;
    }
    write_raw(of, key, before);
    return false;
}

bool slot_set(PyThreadState *state) {
    if (state && bound_is_clear(state)) {
        state = NULL; /* CPython itself puts it there at the next attach, and asserts that it is not there yet */
    }
    if (slot_get() == state) {
        return true;
    }
    if (write_verified(state)) {
        return true;
    }
    if (!slot_get()) {
        return false; /* nothing to look for on this thread; what is known may still be right */
    }
    slot_forget();
    interp_next_epoch(); /* for the threads that know where it was */
    slot_learn();
    return write_verified(state);
}

void slot_thread_ends(void) {
    if (__atomic_load_n(&kind, __ATOMIC_ACQUIRE) == KIND_PYTHON_KEY && slot_get()) {
        write_verified(NULL);
    }
}

void slot_forget(void) {
    __atomic_store_n(&distance, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&kind, KIND_UNKNOWN, __ATOMIC_RELEASE);
}
