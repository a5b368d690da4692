#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/registry.h"
#include "states/taken.h"

/* Returns the state that this thread certainly has attached, or NULL. Up to 3.11 "attached" is one global for the
 * process, and a record may be out of date: CPython frees the state of a thread of its own unseen, and the address may
 * be another thread's state by now. The slot is not out of date: CPython empties it when it frees the state. glibc
 * empties the slot at a thread's end, too, before our last look, so the first look notes what it found. */
static PyThreadState *certainly_attached(struct owner *me) {
    PyThreadState *current = interp_current();
    return interp_slot_follows || current == slot_get() || current == me->attached ? current : NULL;
}

/* Returns true if another thread may go on with `state` under the same GIL, which must not be given back then. Either
 * this thread did not take the GIL, or it took the GIL with another thread's state, or the host made this thread, which
 * ends, to call Py_Initialize on it. */
static bool may_be_anothers(const struct owner *me, const PyThreadState *state) {
    struct registry_entry entry;
    if (!state || state == me->untaken) {
        return state;
    }
    if (interp_slot_follows) {
        return false; /* another thread would have to attach it */
    }
    bool is_known = registry_find(state, &entry);
    bool is_anothers = is_known && entry.has_moved && (entry.has_home || !entry.maker);
    return is_anothers || state == me->initialized;
}

void reconcile_drop_bare_gil(PyThreadState *state) {
    bool is_new = !state;
    if (is_new) {
        state = real.PyThreadState_New(interp_main());
    }
    if (!state) {
        return;
    }
    real.PyThreadState_Swap(state);
    if (is_new) {
        real.PyThreadState_Clear(state);
        real.PyThreadState_DeleteCurrent();
    } else {
        real.PyEval_SaveThread();
    }
}

static void give_back(struct owner *me) {
    if (options.mode != MODE_REPAIR || !interp_is_initialized() || interp_is_finalizing()) {
        return;
    }
    PyThreadState *state = certainly_attached(me);
    if (may_be_anothers(me, state) || (!state && !taken_without_state(me))) {
        return;
    }
    tell_freed(state); /* it is reported with the GIL */
    if (!options_repairs(REPAIR_orphan)) {
        tell_ends_with_gil(state, tell_last_attacher());
        return;
    }
    const void *caller = tell_last_attacher(); /* libc calls this function: the thread's last attacher is to blame */
    if (state) {
        if (!interp_slot_follows) {
            /* The state lives on, and is in no slot from now on: the thread that attaches it next has it for itself.
             * (2.7 files what libraries keep by the thread's ident, so that the next thread of that ident finds it.) */
            registry_add(state, NULL, owner_number(), false, __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED));
        }
        real.PyEval_SaveThread();
    } else {
        reconcile_drop_bare_gil(slot_get());
    }
    tell_repaired(REPAIR_orphan, caller, state, NULL);
}

void reconcile_thread_ends(struct owner *me, bool is_last) {
    if (is_last) {
        keys_thread_ends(me);
        give_back(me);
        reconcile_leave_kept(me);
        return;
    }
    /* From here on the thread is never plain again, so that the calls of other destructors are seen. */
    if (owner_enter() == me) {
        me->attached = NULL;
        me->attached = certainly_attached(me);
    }
}
