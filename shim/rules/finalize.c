/* Py_Finalize, and the calls before it for which the calling thread must have a state attached. */
#include "cpython/real.h"
#include "process/options.h"
#include "rules/final_state.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/taken.h"

/* Attaches this thread's own state, because the caller goes on as if it were attached, and returns it. If the thread
 * has none, PyGILState_Ensure makes one and NULL is returned. */
static PyThreadState *attach_own_state(struct owner *me, const void *caller) {
    PyThreadState *own = settle_own_state(me);
    PyThreadState *state = own ? own : owner_last_saved(me);
    if (state) {
        reconcile_attach(state, BLOCK_BY_RESTORE, caller);
    } else {
        real.PyGILState_Ensure();
    }
    tell_repaired(REPAIR_finalize, caller, state ? state : interp_current(), NULL);
    return state;
}

/* Returns true if this thread may run under another thread's state. Up to 3.11 a thread that has no state may do so
 * while the other thread waits. */
static bool may_borrow(struct owner *me) {
    return !interp_slot_follows && interp_current() && !settle_own_state(me) && !owner_last_saved(me);
}

static bool lacks_state(struct owner *me) {
    return me && interp_is_initialized() && !owner_attached(me) && !taken_without_state(me) && !may_borrow(me) &&
           options_repairs(REPAIR_finalize);
}

void reconcile_before_finalize(const void *caller) {
    struct owner *me = owner_enter();
    if (lacks_state(me)) {
        attach_own_state(me, caller);
    } else {
        owner_leave(me);
    }
    reconcile_free_legacy();
    final_begins(interp_current());
}

void reconcile_after_finalize(void) {
    final_is_over();
    interp_is_over = !interp_is_initialized();
    interp_unwatch_end();
    reconcile_forget_interpreter(); /* moves the epoch on, so that every thread looks anew */
}

void reconcile_before_state_is_needed(const void *caller) {
    struct owner *me = owner_enter();
    if (!lacks_state(me) || !owner_last_saved(me)) {
        owner_leave(me);
        return;
    }
    PyThreadState *state = attach_own_state(me, caller);
    me = owner_enter();
    if (me && state) {
        me->loan = state;
    }
}
