#include "hooks/lifecycle.h"

#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "hooks/gear.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "states/owner.h"
#include "states/plain.h"
#include "states/taken.h"

/* Returns true if the thread is settled and has nothing parked; a parked state may have been attached again by an
 * Ensure. Returns false until the place of the counter is known, since only the rules learn it. */
static bool is_bare(void) {
    return settled_can_see() && !owner_fast.parked && counter_offset >= 0;
}

static PyThreadState *sole_attached(void) {
    return plain_attached(is_bare());
}

/* Asks CPython if the place of the slot is not known: 2.7 keeps it in a list. */
static const PyThreadState *in_slot(void) {
    slot_place *slot = known_slot();
    const PyThreadState *state = slot ? *slot : slot_get();
    return state;
}

static void suspend(void) {
    uint32_t epoch = owner_fast.verified;
    owner_unsettle();
    owner_fast.lifecycle_epoch = epoch;
}

/* Returns true if this is the thread that called suspend, since a call may return on another one, and if no rule was
 * called since. */
static bool is_suspended(const struct owner *me) {
    return owner_fast.lifecycle_epoch && owner_fast.record == me;
}

static void resume(void) {
    owner_fast.settled = owner_fast.lifecycle_epoch;
    owner_fast.epoch = owner_is_recorded ? 0 : owner_fast.lifecycle_epoch;
    owner_fast.lifecycle_epoch = 0;
}

/* ---- the state is made and freed --------------------------------------------------------------------------------- */

bool lifecycle_new(PyInterpreterState *interp, PyThreadState **made) {
    if (!is_bare()) {
        return false;
    }
    const PyThreadState *before = in_slot();
    PyThreadState *state = *made = real.PyThreadState_New(interp);
    const PyThreadState *expected = before ? before : state; /* New puts it into an empty slot */
    if (state && is_bare() && in_slot() == expected) {
        owner_fast.record->visits++;
        owner_state_made(state, !before);
        owner_fast.own = before ? owner_fast.own : state;
    } else if (state) {
        reconcile_made(state);
    }
    return true;
}

bool lifecycle_clear(PyThreadState *state) {
    if (!state || sole_attached() != state || owner_fast.record->alias) {
        return false;
    }
    struct owner *me = owner_fast.record;
    me->visits++;
    me->clearing = state; /* its count may be 0, and what Clear calls may call Ensure */
    suspend();
    real.PyThreadState_Clear(state);
    if (is_suspended(me) && me->clearing == state) {
        me->clearing = NULL;
        resume();
    } else {
        reconcile_cleared(NULL);
    }
    return true;
}

/* PyThreadState_DeleteCurrent (`is_current`), or PyThreadState_Delete of the parked state. */
static void delete_own(struct owner *me, PyThreadState *state, bool is_current) {
    me->visits++;
    suspend();
    keys_state_died(me, state);
    owner_state_ends(me, state, false);
    leftover_died(state);
    is_current ? real.PyThreadState_DeleteCurrent() : real.PyThreadState_Delete(state);
    if (is_suspended(me) && me->clearing == state && !in_slot()) {
        owner_fast.own = me->clearing = NULL;
        me->unseen.state = me->unseen.state == state ? NULL : me->unseen.state;
        resume();
    } else {
        reconcile_state_ended(state);
    }
}

bool lifecycle_delete_current(void) {
    PyThreadState *state = sole_attached();
    if (!state || owner_fast.record->alias) {
        return false;
    }
    delete_own(owner_fast.record, state, true);
    return true;
}

bool lifecycle_delete(PyThreadState *state) {
    bool is_saved_away = plain_has_parked(settled_can_see(), state);
    bool is_own = counter_offset >= 0 && is_saved_away && settled_is_own(state);
    if (!is_own || owner_fast.record->alias) {
        return false;
    }
    owner_fast.parked = NULL;
    delete_own(owner_fast.record, state, false);
    return true;
}

/* ---- the state is attached, detached and swapped ----------------------------------------------------------------- */

bool lifecycle_attach(const PyThreadState *state) {
    /* Up to 3.11 it cannot be told here whether what is attached is another thread's state or a second one of this
     * thread. */
    if (!is_bare() || !settled_is_own(state) || *owner_fast.current || interp_is_finalizing()) {
        return false;
    }
    owner_fast.record->visits++;
    return true;
}

bool lifecycle_save(void) {
    PyThreadState *state = is_bare() && !known_slot() && !owner_fast.own ? *owner_fast.current : NULL;
    if (!state || slot_get() != state) {
        return false;
    }
    owner_fast.record->visits++;
    owner_fast.own = owner_fast.parked = state;
    return true;
}

/* Up to 3.11 the thread keeps the GIL until it swaps a state in again, and the rules have to know that. */
static bool swap_out(void) {
    PyThreadState *state = sole_attached();
    if (!state) {
        return false;
    }
    owner_fast.record->visits++;
    owner_fast.parked = state;
    if (!interp_slot_follows) {
        taken_keeps_without_state(owner_fast.record);
        suspend();
    }
    return true;
}

static bool swap_in(const PyThreadState *state) {
    struct owner *me = owner_fast.record;
    if (interp_slot_follows ? !settled_can_see()
                            : owner_fast.lifecycle_epoch != __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED)) {
        return false;
    }
    if (owner_fast.parked != state || *owner_fast.slot != state || *owner_fast.current) {
        return false;
    }
    if (!interp_slot_follows) {
        if (!taken_is_without_state(me)) {
            return false; /* suspended by Clear or Delete, or another thread has been given the GIL */
        }
        taken_is_over(me);
        resume();
    }
    me->visits++;
    owner_fast.parked = NULL;
    return true;
}

bool lifecycle_swap(const PyThreadState *state) {
    return state ? swap_in(state) : swap_out();
}

/* ---- the gear --------------------------------------------------------------------------------------------------- */

PyThreadState *lifecycle_PyEval_SaveThread(const void *caller) {
    return lifecycle_save() ? real.PyEval_SaveThread() : judged_PyEval_SaveThread(caller);
}

void lifecycle_PyEval_RestoreThread(PyThreadState *state, const void *caller) {
    lifecycle_attach(state) ? real.PyEval_RestoreThread(state) : judged_PyEval_RestoreThread(state, caller);
}

void lifecycle_PyEval_AcquireThread(PyThreadState *state, const void *caller) {
    lifecycle_attach(state) ? real.PyEval_AcquireThread(state) : judged_PyEval_AcquireThread(state, caller);
}

/* flatten: the calls within would take a quarter of the instructions of a pair of swaps. */
__attribute__((flatten)) PyThreadState *lifecycle_PyThreadState_Swap(PyThreadState *state, const void *caller) {
    return lifecycle_swap(state) ? real.PyThreadState_Swap(state) : judged_PyThreadState_Swap(state, caller);
}

PyThreadState *lifecycle_PyThreadState_New(PyInterpreterState *interp, const void *caller) {
    PyThreadState *made;
    bool is_told = leftover_is_on || options.verbosity >= 1; /* reports name the maker */
    return !is_told && lifecycle_new(interp, &made) ? made : judged_PyThreadState_New(interp, caller);
}

void lifecycle_PyThreadState_Clear(PyThreadState *state, const void *caller) {
    if (!lifecycle_clear(state)) {
        judged_PyThreadState_Clear(state, caller);
    }
}

void lifecycle_PyThreadState_Delete(PyThreadState *state, const void *caller) {
    if (!lifecycle_delete(state)) {
        judged_PyThreadState_Delete(state, caller);
    }
}

void lifecycle_PyThreadState_DeleteCurrent(const void *caller) {
    if (!lifecycle_delete_current()) {
        judged_PyThreadState_DeleteCurrent(caller);
    }
}
