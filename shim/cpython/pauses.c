#include "cpython/pauses.h"

#include <stdint.h>

#include "cpython/interp.h"
#include "cpython/own_layout.h"
#include "cpython/real.h"
#include "system/thread.h"

/* CPython's own names: _Py_THREAD_DETACHED and so on (pycore_pystate.h). SHUTTING_DOWN came with 3.14. */
enum { DETACHED, ATTACHED, SUSPENDED, SHUTTING_DOWN };

enum { INTERPRETERS_MAX = 256, STATES_MAX = 100000 };

static struct layout layout;
static uintptr_t runtime, main_interp; /* set once the layout has been found to be right; 0: not yet */
static uint8_t known;                  /* one of: */
enum { NOT_ASKED, IS_LEARNING, IS_KNOWN, IS_UNKNOWN };

static bool read_at(uintptr_t address, int32_t offset, void *to, size_t size) {
    return offset >= 0 && thread_read_memory((const void *)(address + (uintptr_t)offset), to, size);
}

/* ---- where it is ------------------------------------------------------------------------------------------------- */

static bool is_flag(uintptr_t address, int32_t offset) {
    uint8_t flag = 2;
    return read_at(address, offset, &flag, 1) && flag <= 1;
}

static bool is_pause(uintptr_t address) {
    return is_flag(address, layout.pause_requested) && is_flag(address, layout.pause_stopped);
}

/* Returns true if the interpreter's GIL and its first state are found where, and as, the layout says. */
static bool is_plausible(uintptr_t interp) {
    uintptr_t gil = 0, state = 0, its_interp = 0, head = 0;
    int enabled = -1, attachment = -1;
    return layout.interp_pause >= 0 && layout.runtime_pause >= 0 && layout.pause_requester >= 0 &&
           read_at((uintptr_t)real._PyRuntime, layout.runtime_head, &head, sizeof head) &&
           head == (uintptr_t)real.PyInterpreterState_Head() && read_at(interp, layout.interp_gil, &gil, sizeof gil) &&
           read_at(gil, layout.gil_enabled, &enabled, sizeof enabled) && enabled >= 0 &&
           read_at(interp, layout.interp_states, &state, sizeof state) &&
           state == (uintptr_t)real.PyInterpreterState_ThreadHead((PyInterpreterState *)interp) &&
           read_at(state, layout.state_interp, &its_interp, sizeof its_interp) && its_interp == interp &&
           read_at(state, layout.state_attachment, &attachment, sizeof attachment) && attachment >= DETACHED &&
           attachment <= SHUTTING_DOWN && is_pause(interp + (uintptr_t)layout.interp_pause) &&
           is_pause((uintptr_t)real._PyRuntime + (uintptr_t)layout.runtime_pause);
}

/* Returns false also while another thread learns it. Asked anew when another libpython is bound, or the interpreter is made. */
static bool learn(void) {
    uintptr_t interp = (uintptr_t)interp_main();
    uint8_t before = __atomic_load_n(&known, __ATOMIC_ACQUIRE);
    if ((before == IS_KNOWN || before == IS_UNKNOWN) && runtime == (uintptr_t)real._PyRuntime &&
        main_interp == interp) {
        return before == IS_KNOWN;
    }
    if (!interp || before == IS_LEARNING ||
        !__atomic_compare_exchange_n(&known, &before, IS_LEARNING, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return false;
    }
    bool is_right = own_layout_find(&layout) && is_plausible(interp);
    runtime = (uintptr_t)real._PyRuntime;
    main_interp = interp;
    uint8_t otherwise = interp_is_initialized() ? IS_UNKNOWN : NOT_ASKED;
    __atomic_store_n(&known, is_right ? IS_KNOWN : otherwise, __ATOMIC_RELEASE);
    return is_right;
}

static bool is_free_threaded(void) {
    return interp_is_free_threaded && real._PyRuntime && real.PyInterpreterState_Head && learn();
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* The main interpreter is a part of _PyRuntime, and its GIL is in it; they can be read as long as CPython is there. */
static uint8_t last_found; /* enum pauses_gil */
static uintptr_t last_gil;

static bool gil_is_off(void) {
    uintptr_t gil = *(volatile uintptr_t *)(main_interp + (uintptr_t)layout.interp_gil);
    bool is_off = gil && __atomic_load_n((int *)(gil + (uintptr_t)layout.gil_enabled), __ATOMIC_RELAXED) == 0;
    uint8_t found = is_off ? PAUSES_GIL_OFF : PAUSES_GIL_ON;
    if (gil && __atomic_load_n(&last_found, __ATOMIC_RELAXED) != found) {
        __atomic_store_n(&last_found, found, __ATOMIC_RELAXED);
        __atomic_store_n(&last_gil, gil, __ATOMIC_RELAXED);
    }
    return is_off;
}

enum pauses_gil pauses_gil_was(void) {
    return (enum pauses_gil)__atomic_load_n(&last_found, __ATOMIC_RELAXED);
}

enum pauses_gil pauses_gil_at_end(void) {
    uintptr_t gil = __atomic_load_n(&last_gil, __ATOMIC_RELAXED);
    int enabled = 0;
    if (gil && runtime == (uintptr_t)real._PyRuntime && read_at(gil, layout.gil_enabled, &enabled, sizeof enabled)) {
        return enabled ? PAUSES_GIL_ON : PAUSES_GIL_OFF;
    }
    return pauses_gil_was();
}

bool pauses_gil_is_off(void) {
    return is_free_threaded() && gil_is_off();
}

static bool is_requested(uintptr_t pause) {
    return __atomic_load_n((uint8_t *)(pause + (uintptr_t)layout.pause_requested), __ATOMIC_RELAXED) == 1;
}

bool pauses_is_one(void) {
    return pauses_gil_is_off() && (is_requested(main_interp + (uintptr_t)layout.interp_pause) ||
                                   is_requested(runtime + (uintptr_t)layout.runtime_pause));
}

/* Counts the states of an interpreter in `pause`. */
static void count_states(uintptr_t interp, struct pause *pause) {
    uintptr_t state = 0;
    int attachment;
    if (!read_at(interp, layout.interp_states, &state, sizeof state)) {
        return;
    }
    for (size_t i = 0; state && i < STATES_MAX; i++) {
        if (!read_at(state, layout.state_attachment, &attachment, sizeof attachment)) {
            return;
        }
        pause->suspended += attachment == SUSPENDED;
        if (attachment == ATTACHED && state != (uintptr_t)pause->requester) {
            pause->attached++;
            pause->delayer = (PyThreadState *)state;
        }
        if (!read_at(state, layout.state_next, &state, sizeof state)) {
            return;
        }
    }
}

/* Reads a pause of all interpreters, or of one. Returns false if there is none. */
static bool read_pause(uintptr_t address, struct pause *pause) {
    uint8_t requested = 0, stopped = 0;
    *pause = (struct pause){.has_begun = false};
    bool is_read = read_at(address, layout.pause_requested, &requested, 1) &&
                   read_at(address, layout.pause_stopped, &stopped, 1) &&
                   read_at(address, layout.pause_requester, &pause->requester, sizeof(PyThreadState *));
    pause->has_begun = stopped == 1;
    return is_read && requested == 1;
}

bool pauses_look(struct pause *pause) {
    if (!pauses_gil_is_off()) {
        return false;
    }
    uintptr_t interp = 0;
    bool is_global = read_pause(runtime + (uintptr_t)layout.runtime_pause, pause);
    bool is_one = is_global;
    read_at(runtime, layout.runtime_head, &interp, sizeof interp);
    for (size_t i = 0; interp && i < INTERPRETERS_MAX && (is_global || !is_one); i++) {
        is_one = is_global || read_pause(interp + (uintptr_t)layout.interp_pause, pause);
        if (is_one) {
            count_states(interp, pause);
        }
        if (!read_at(interp, layout.interp_next, &interp, sizeof interp)) {
            break;
        }
    }
    if (pause->has_begun) {
        pause->delayer = NULL;
        pause->attached = 0;
    }
    return is_one;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* Returns CPython's record of the state for the safe freeing of memory (qsbr.h), or 0. */
static uintptr_t qsbr_of(const PyThreadState *state) {
    uintptr_t qsbr = 0, its_state = 0;
    bool is_it = read_at((uintptr_t)state, layout.state_qsbr, &qsbr, sizeof qsbr) && qsbr &&
                 read_at(qsbr, layout.qsbr_state, &its_state, sizeof its_state) && its_state == (uintptr_t)state &&
                 is_flag(qsbr, layout.qsbr_allocated);
    return is_it ? qsbr : 0;
}

static void set_allocated(const PyThreadState *state, uint8_t is_allocated) {
    uintptr_t qsbr = qsbr_of(state);
    if (qsbr) {
        *(uint8_t *)(qsbr + (uintptr_t)layout.qsbr_allocated) = is_allocated;
    }
}

static int *attachment_of(PyThreadState *state) {
    return (int *)((uintptr_t)state + (uintptr_t)layout.state_attachment);
}

/* _Py_qsbr_after_fork gives away every record that is marked as allocated, but for the attached state's. */
bool pauses_mark(PyThreadState *state) {
    if (!is_free_threaded() || __atomic_load_n(attachment_of(state), __ATOMIC_RELAXED) != SUSPENDED) {
        return false;
    }
    set_allocated(state, 0);
    return true;
}

/* The record may have moved meanwhile; the state knows where it is. */
void pauses_unmark(PyThreadState *state) {
    set_allocated(state, 1);
    __atomic_store_n(attachment_of(state), DETACHED, __ATOMIC_RELEASE);
}
