#include "cpython/interp.h"

#include <string.h>

#include "cpython/real.h"
#include "system/loader.h"

uint32_t interp_epoch = 1;
bool interp_slot_follows;
bool interp_ensures_itself;
bool interp_is_debug;
bool interp_is_over;
bool interp_is_free_threaded;
bool interp_end_is_unwatched;
bool interp_end_is_watched;

static PyThreadState *(*current_getter)(void);

uint32_t interp_next_epoch(void) {
    uint32_t epoch = __atomic_add_fetch(&interp_epoch, 1, __ATOMIC_ACQ_REL);
    /* 0 is the epoch of a thread that has never called. */
    return epoch ? epoch : __atomic_add_fetch(&interp_epoch, 1, __ATOMIC_ACQ_REL);
}

bool interp_contains(const void *address) {
    uintptr_t object = loader_object_of(address);
    return object && object == loader_object_of((const void *)real.Py_IsInitialized);
}

/* The version, kept for the summary: a program may have closed its libpython by then. "": not asked for yet. Binding does
 * not ask, since another thread's dlopen may not have relocated the libpython that it has found. */
static char version[32];

static void learn_version(void) {
    bool is_there = real.Py_GetVersion && loader_is_code((const void *)real.Py_GetVersion);
    const char *words = is_there ? real.Py_GetVersion() : NULL;
    if (words && !version[0]) {
        struct text text = text_start(version, sizeof version);
        text_add_span(&text, words, strcspn(words, " "));
        text_end(&text);
    }
}

void interp_learn(void) {
    version[0] = '\0';
    interp_ensures_itself =
        interp_contains((const void *)real.PyGILState_Ensure) && interp_contains((const void *)real.PyGILState_Release);
    interp_slot_follows = real._PyThreadState_GetCurrent || real.PyThreadState_GetUnchecked;
    interp_is_debug = real._Py_NegativeRefcount != NULL;
    interp_is_free_threaded = real._Py_DecRefShared != NULL;
    current_getter = real.PyThreadState_GetUnchecked  ? real.PyThreadState_GetUnchecked
                     : real._PyThreadState_GetCurrent ? real._PyThreadState_GetCurrent
                                                      : real._PyThreadState_UncheckedGet;
}

PyThreadState *interp_current(void) {
    if (current_getter) {
        return current_getter();
    }
    return real._PyThreadState_Current ? __atomic_load_n(real._PyThreadState_Current, __ATOMIC_RELAXED) : NULL;
}

bool interp_is_there(void) {
    struct loader_place place;
    const void *at = current_getter ? (const void *)current_getter : (const void *)real._PyThreadState_Current;
    return real_status.binding != REAL_LATE || (at && loader_locate(at, &place));
}

bool interp_has_one_gil(void) {
    return !interp_slot_follows || (!interp_is_free_threaded && real.PyInterpreterState_Head() == interp_main());
}

bool interp_is_initialized(void) {
    return real.Py_IsInitialized && real.Py_IsInitialized();
}

bool interp_has_gil(void) {
    return !real.PyEval_ThreadsInitialized || real.PyEval_ThreadsInitialized();
}

bool interp_is_finalizing(void) {
    if (real.Py_IsFinalizing) {
        return real.Py_IsFinalizing();
    }
    if (real._Py_IsFinalizing) {
        return real._Py_IsFinalizing();
    }
    if (real._Py_Finalizing) {
        return __atomic_load_n(real._Py_Finalizing, __ATOMIC_RELAXED) != NULL;
    }
    return !interp_is_initialized(); /* 2.7 has no flag; it says "not initialized" while it finalizes */
}

/* ---- the end of its life ---------------------------------------------------------------------------------------- */

void interp_watch_end(void (*ended)(void)) {
    bool expected = false;
    if (!__atomic_compare_exchange_n(&interp_end_is_watched, &expected, true, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        return;
    }
    interp_is_over = false;
    bool is_told = real.Py_AtExit && real.Py_AtExit(ended) == 0;
    __atomic_store_n(&interp_end_is_unwatched, !is_told, __ATOMIC_RELAXED);
}

void interp_unwatch_end(void) {
    __atomic_store_n(&interp_end_is_watched, false, __ATOMIC_RELEASE);
    __atomic_store_n(&interp_end_is_unwatched, false, __ATOMIC_RELAXED);
}

void interp_note_import(void) {
    if (!interp_end_is_watched && interp_is_initialized()) {
        __atomic_store_n(&interp_end_is_unwatched, true, __ATOMIC_RELAXED);
    }
}

/* 2.7 also says "not initialized" while it finalizes, and it lets other threads run then. */
bool interp_has_ended(void) {
    return interp_may_have_ended() && !interp_is_initialized() && (interp_is_over || !interp_is_finalizing());
}

/* ---- what is alive, and which interpreter it belongs to --------------------------------------------------------- */

static bool has_state(PyInterpreterState *interp, const PyThreadState *state) {
    for (PyThreadState *at = real.PyInterpreterState_ThreadHead(interp); at; at = real.PyThreadState_Next(at)) {
        if (at == state) {
            return true;
        }
    }
    return false;
}

bool interp_is_alive(const PyThreadState *state) {
    for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
         interp = real.PyInterpreterState_Next ? real.PyInterpreterState_Next(interp) : NULL) {
        if (has_state(interp, state)) {
            return true;
        }
    }
    return false;
}

/* PyThreadState_GetInterpreter came with 3.9. Before 3.9, `interp` is one of the first three words in every version:
 * the one that points to an interpreter. The others point to states. The word is looked for once, because other threads
 * make and end interpreters, and a thread without the GIL can't walk their list. */
enum { WORD_UNKNOWN = -1 };
static int interp_word = WORD_UNKNOWN;
static PyInterpreterState *main_interp; /* up to 3.6 */

static PyInterpreterState *word_of(const PyThreadState *state, int word) {
    void *value;
    memcpy(&value, (const char *)state + (size_t)word * sizeof value, sizeof value);
    return value;
}

static void learn_word(const PyThreadState *state) {
    for (int word = 0; word < 3; word++) {
        for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
             interp = real.PyInterpreterState_Next ? real.PyInterpreterState_Next(interp) : NULL) {
            if (word_of(state, word) == interp) {
                __atomic_store_n(&interp_word, word, __ATOMIC_RELAXED);
                return;
            }
        }
    }
}

PyInterpreterState *interp_of(const PyThreadState *state) {
    if (real.PyThreadState_GetInterpreter) {
        return real.PyThreadState_GetInterpreter((PyThreadState *)state);
    }
    if (__atomic_load_n(&interp_word, __ATOMIC_RELAXED) == WORD_UNKNOWN) {
        learn_word(state);
    }
    int word = __atomic_load_n(&interp_word, __ATOMIC_RELAXED);
    return word == WORD_UNKNOWN ? NULL : word_of(state, word);
}

bool interp_is_attached_alive(const PyThreadState *state) {
    PyInterpreterState *mine = interp_of(state);
    if (!mine) {
        return interp_is_alive(state);
    }
    for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
         interp = real.PyInterpreterState_Next ? real.PyInterpreterState_Next(interp) : NULL) {
        if (interp == mine) {
            return has_state(interp, state);
        }
    }
    return false;
}

PyInterpreterState *interp_main(void) {
    if (real.PyInterpreterState_Main) {
        return real.PyInterpreterState_Main();
    }
    PyInterpreterState *last = __atomic_load_n(&main_interp, __ATOMIC_RELAXED);
    if (last) {
        return last;
    }
    for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
         interp = real.PyInterpreterState_Next ? real.PyInterpreterState_Next(interp) : NULL) {
        last = interp; /* new ones are put in front */
    }
    __atomic_store_n(&main_interp, last, __ATOMIC_RELAXED);
    return last;
}

void interp_learn_from(const PyThreadState *attached) {
    if (!version[0]) {
        learn_version();
    }
    if (!real.PyThreadState_GetInterpreter && !main_interp) {
        interp_of(attached);
        interp_main();
    }
}

void interp_forget(void) {
    __atomic_store_n(&interp_word, WORD_UNKNOWN, __ATOMIC_RELAXED);
    __atomic_store_n(&main_interp, NULL, __ATOMIC_RELAXED);
}

bool interp_version(int *major, int *minor) {
    const char *at = version;
    if (!version[0]) {
        learn_version();
    }
    for (*major = 0; *at >= '0' && *at <= '9'; at++) {
        *major = *major * 10 + (*at - '0');
    }
    bool has_minor = *at == '.';
    for (*minor = 0, at += has_minor; *at >= '0' && *at <= '9'; at++) {
        *minor = *minor * 10 + (*at - '0');
    }
    return has_minor;
}

const char *interp_version_text(void) {
    if (!version[0]) {
        learn_version();
    }
    return version[0] ? version : "?";
}

const char *interp_binding(void) {
    static const char *const ways[] = {
        [REAL_UNBOUND] = "not bound", [REAL_SHARED] = "shared",   [REAL_STATIC] = "static",
        [REAL_LATE] = "opened late",  [REAL_REFUSED] = "refused",
    };
    return ways[real_status.binding];
}

void interp_describe(struct text *text) {
    text_add(text, "CPython ");
    text_add(text, interp_version_text());
    text_add(text, interp_is_free_threaded ? " free-threaded" : "");
    text_add(text, interp_is_debug ? " debug (" : " release (");
    text_add(text, interp_binding());
    text_add(text, ", ");
    text_add(text, real_status.path);
    text_add(text, ")");
}
