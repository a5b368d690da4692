#include "slot.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "interp.h"
#include "real.h"
#include "tls.h"

/* 3.6 to 3.14 use a pthread key (number 0 is a valid one); 2.7 keeps a list of its own, keyed by (thread, int). From
 * 3.15 on the slot is a hidden thread-local: `key` is then the index of a word in CPython's block of them. */
enum kind { KIND_UNKNOWN, KIND_PTHREAD_KEY, KIND_PYTHON_KEY, KIND_THREAD_LOCAL };

static enum kind kind;
static int key;

enum { PYTHON_KEYS_TRIED = 64 };

PyThreadState *slot_get(void) {
    return real.PyGILState_GetThisThreadState ? real.PyGILState_GetThisThreadState() : NULL;
}

bool slot_is_known(void) {
    return __atomic_load_n(&kind, __ATOMIC_ACQUIRE) != KIND_UNKNOWN;
}

/* NULL: CPython has no thread-locals, or not yet on this thread (a libpython that was opened late). */
static PyThreadState **word_of_block(int number) {
    struct tls_block block = tls_block_of((const void *)real.Py_IsInitialized);
    return (size_t)number < block.words ? (PyThreadState **)&block.start[number] : NULL;
}

const void *slot_place(void) {
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
        pthread_setspecific((pthread_key_t)number, state);
        return;
    }
    if (of == KIND_THREAD_LOCAL) {
        PyThreadState *volatile *word = word_of_block(number);
        if (word) {
            *word = state;
        }
        return;
    }
    /* 2.7's set never overwrites (thread.c, find_key). */
    real.PyThread_delete_key_value(number);
    if (state) {
        real.PyThread_set_key_value(number, state);
    }
}

/* pybind11's own key usually holds the same pointer, so a match alone proves nothing: empty it and ask CPython. */
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

void slot_learn(void) {
    PyThreadState *state = slot_is_known() ? NULL : slot_get();
    if (!state) {
        return;
    }
    /* faulthandler's signal handler asks for the slot: it would see an empty one, not garbage, but even so. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_python27 = real._PyThreadState_Current && !real._PyThreadState_UncheckedGet;
    if (!find_among(KIND_PTHREAD_KEY, 0, PTHREAD_KEYS_MAX, state)) {
        if (is_python27) {
            find_among(KIND_PYTHON_KEY, 1, PYTHON_KEYS_TRIED, state);
        } else if (interp_slot_follows) {
            find_among(KIND_THREAD_LOCAL, 0, (int)tls_block_of((const void *)real.Py_IsInitialized).words, state);
        }
    }
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
    slot_learn();
    return write_verified(state);
}

void slot_thread_ends(void) {
    if (__atomic_load_n(&kind, __ATOMIC_ACQUIRE) == KIND_PYTHON_KEY && slot_get()) {
        write_verified(NULL);
    }
}

void slot_forget(void) {
    __atomic_store_n(&kind, KIND_UNKNOWN, __ATOMIC_RELEASE);
}
