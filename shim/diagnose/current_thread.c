#include "diagnose/current_thread.h"

#include <pthread.h>
#include <stdint.h>

#include "cpython/current.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/holder.h"
#include "journal/journal.h"
#include "states/owner.h"
#include "system/thread.h"

PyThreadState *current_thread_attached(void) {
    PyThreadState *current = interp_current();
    if (!current || interp_slot_follows) {
        return current;
    }
    const struct owner *me = owner_self();
    if (me && me->life == owner_life && (current == me->attached || current == me->override.state)) {
        return current;
    }
    struct journal_now now = journal_now();
    /* The slot comes last: 2.7 has it behind a lock, which a signal handler may find taken by the thread itself. */
    return (now.phase == JOURNAL_HOLDS && now.state == current) || current == slot_get() ? current : NULL;
}

/* From 3.12 on. */
static enum current_thread_gil find_in_tls(PyThreadState **state) {
    const void *place = current_place_of((uintptr_t)pthread_self());
    bool is_fixed = real_status.binding == REAL_SHARED || real_status.binding == REAL_STATIC;
    if (place && thread_read_memory(place, state, sizeof(PyThreadState *))) {
        return *state ? CURRENT_THREAD_HAS_GIL : CURRENT_THREAD_HAS_NO_GIL;
    }
    if (!is_fixed && !owner_self()) {
        return CURRENT_THREAD_UNKNOWN;
    }
    *state = interp_current();
    return *state ? CURRENT_THREAD_HAS_GIL : CURRENT_THREAD_HAS_NO_GIL;
}

/* Up to 3.11: whether the state that is attached in the process is attached on this thread. */
static bool is_ours(const PyThreadState *current, const struct journal_now *now) {
    const struct owner *me = owner_self();
    if ((now->phase == JOURNAL_HOLDS && now->state == current) ||
        (me && me->life == owner_life && (current == me->attached || current == me->override.state))) {
        return true;
    }
    return slot_goes_by_ident() ? holder_made((uintptr_t)pthread_self(), current) : current == slot_get();
}

enum current_thread_gil current_thread_find_gil(PyThreadState **state) {
    struct journal_now now = journal_now();
    *state = NULL;
    if (!real_is_served() || real_is_ambiguous) {
        return CURRENT_THREAD_UNKNOWN;
    }
    if (interp_slot_follows) {
        /* 3.12's PyThreadState_Swap sets the thread's state before it waits for the GIL. */
        bool is_swapping = now.phase == JOURNAL_WAITS && now.call == REAL_INDEX_PyThreadState_Swap;
        return is_swapping ? CURRENT_THREAD_HAS_NO_GIL : find_in_tls(state);
    }
    PyThreadState *current = interp_current();
    if (!current) {
        /* PyThreadState_Swap(NULL) keeps the GIL. */
        return now.phase == JOURNAL_HOLDS && !now.state ? CURRENT_THREAD_HAS_GIL : CURRENT_THREAD_HAS_NO_GIL;
    }
    if (!is_ours(current, &now)) {
        return CURRENT_THREAD_HAS_NO_GIL;
    }
    *state = current;
    return CURRENT_THREAD_HAS_GIL;
}

bool current_thread_has_gil(void) {
    static __thread struct {
        PyThreadState *current;
        uint64_t events;
        bool is_own;
    } known __attribute__((tls_model("initial-exec")));
    PyThreadState *current = real_is_ambiguous || !interp_is_there() ? NULL : interp_current();
    if (!current || interp_slot_follows) {
        return current != NULL;
    }
    uint64_t events = journal_own_events();
    if (current != known.current || events != known.events) {
        known.current = NULL; /* a handler that comes in here finds nothing half written */
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        known.is_own = current_thread_attached() != NULL;
        known.events = events;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        known.current = current;
    }
    return known.is_own;
}

bool current_thread_is_detached(void) {
    return !interp_current();
}

static __thread enum { UNKNOWN, CPYTHONS, FOREIGN } origin __attribute__((tls_model("initial-exec")));

void current_thread_note_call(void) {
    if (!origin) {
        origin = current_thread_attached() ? CPYTHONS : FOREIGN;
    }
}

bool current_thread_is_foreign(void) {
    return origin == FOREIGN;
}

bool current_thread_can_ask(void) {
    PyThreadState *current = interp_current();
    return current && current == slot_get() && interp_is_initialized() && !interp_is_finalizing();
}
