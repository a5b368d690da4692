/* PyEval_AcquireLock and PyEval_ReleaseLock by the rule of their first years: they take and give the GIL, whether a
 * state is attached or not. 3.0 to 3.15 end the process where AcquireLock finds no state attached; from 3.9 on they
 * crash where ReleaseLock finds none. Hosts that were written before still rely on the rule: PyThreadState_Swap(NULL)
 * or Py_EndInterpreter, then ReleaseLock; AcquireLock, then PyThreadState_Swap (OpenSIPS, FreeRADIUS, Kodi, Icinga 2,
 * PyXPCOM).
 *
 * From 3.12 on no thread has the GIL without a state: a call that attaches a state takes the GIL, PyThreadState_Swap
 * too. Without a state the two calls have nothing to do then. */
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "rules/tell.h"
#include "states/taken.h"

/* Up to 3.11: the state that was still attached when a thread gave the GIL by ReleaseLock. The thread that takes the
 * GIL by AcquireLock, whichever it is, runs under that state. */
static PyThreadState *given;

static bool runs_under_given(void) {
    PyThreadState *current = interp_current();
    return !interp_slot_follows && current && current == __atomic_load_n(&given, __ATOMIC_RELAXED);
}

/* Returns true if what is attached is of no use to AcquireLock. Up to 3.11 it may be the state of another thread, which
 * has the GIL: that state is gone, and perhaps freed, by the time that the GIL comes. */
static bool lacks_state(struct owner *me) {
    PyThreadState *current = interp_current();
    if (!current || interp_slot_follows) {
        return !current;
    }
    return !runs_under_given() && current != owner_attached(me);
}

/* Up to 3.11: takes the GIL without a state. The GIL can only be taken with a state, which is put aside at once.
 * Returns false if there is no memory for a state. */
static bool take_without_state(void) {
    PyThreadState *state = slot_get();
    bool is_new = !state;
    if (is_new) {
        state = real.PyThreadState_New(interp_main());
    }
    if (!state) {
        return false;
    }
    real.PyEval_RestoreThread(state);
    if (is_new) {
        real.PyThreadState_Clear(state);
    }
    real.PyThreadState_Swap(NULL);
    if (is_new) {
        real.PyThreadState_Delete(state);
    }
    return true;
}

void reconcile_acquire_lock(const void *caller) {
    struct owner *me = owner_enter();
    bool is_repaired = me && real.Py_FinalizeEx && options_repairs(REPAIR_oldlock) && !taken_without_state(me) &&
                       lacks_state(me) && (interp_slot_follows || take_without_state());
    if (!is_repaired) {
        real.PyEval_AcquireLock();
    }
    me = owner_enter();
    if (me) {
        me->untaken = NULL;
        if (runs_under_given()) {
            me->attached = interp_current();
        } else if (!owner_attached(me)) {
            taken_keeps_without_state(me);
        }
    }
    if (is_repaired) {
        tell_repaired(REPAIR_oldlock, caller, NULL, NULL);
    }
    owner_leave(me);
}

bool reconcile_attach_given(struct owner *me, PyThreadState *state, const void *caller) {
    if (!interp_slot_follows || !state || me->untaken != state || interp_current() != state) {
        return false;
    }
    me->untaken = NULL;
    real.PyEval_AcquireLock();
    if (real.PyThreadState_GetUnchecked) { /* 3.13+: 3.12 lets the attach pass */
        tell_repaired(REPAIR_oldlock, caller, state, NULL);
    }
    owner_leave(owner_self());
    return true;
}

void reconcile_release_lock(const void *caller) {
    struct owner *me = owner_enter();
    if (me && real.PyInterpreterState_Get && options_repairs(REPAIR_oldlock) && !interp_current() &&
        (interp_slot_follows || taken_without_state(me))) {
        tell_repaired(REPAIR_oldlock, caller, NULL, NULL);
        taken_is_over(me);
        if (!interp_slot_follows) {
            reconcile_drop_bare_gil(slot_get());
        }
        owner_leave(owner_self());
        return;
    }
    if (me) {
        PyThreadState *current = interp_current(); /* it stays attached, without the GIL */
        bool is_own = current && current == slot_get();
        me->untaken = is_own ? current : NULL;
        me->attached = is_own ? current : NULL;
        owner_unsettle(); /* a thread with an attached state but no GIL is not plain */
        __atomic_store_n(&given, interp_slot_follows ? NULL : current, __ATOMIC_RELAXED);
    }
    taken_by_another();
    owner_leave(me);
    real.PyEval_ReleaseLock();
}
