#include "cpython/bound.h"
#include "cpython/counter.h"
#include "cpython/head_lock.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/registry.h"
#include "states/taken.h"

/* ---- thread states ---------------------------------------------------------------------------------------------- */

PyThreadState *reconcile_new(PyInterpreterState *interp) {
    PyThreadState *state = real.PyThreadState_New(interp);
    if (state) {
        reconcile_made(state);
    }
    return state;
}

void reconcile_made(PyThreadState *state) {
    /* CPython puts the new state into the slot of a thread without one at once, whichever thread it was made for. */
    bool is_in_slot = slot_get() == state;
    bool is_ours = owner_state_made(state, is_in_slot);
    struct owner *me = owner_enter();
    if (me) {
        blocks_forget(&me->blocks, state); /* of an earlier state at the same address, whose end was not seen */
        if (is_in_slot && !is_ours) {
            owner_take(me, state);
        }
        owner_leave(me);
    }
}

/* PyThreadState_Clear runs arbitrary destructors, and pybind11 calls it with a count of 0. Ensure and Release must not
 * take the plain way while it runs. */
void reconcile_clear(PyThreadState *state) {
    struct owner *me = owner_enter();
    PyThreadState *outer = me ? me->clearing : NULL; /* a destructor that Clear runs may call Clear */
    if (me && state && state == me->alias) {
        return; /* already cleared and freed */
    }
    if (me && owner_attached(me) == state) {
        me->clearing = state;
    }
    real.PyThreadState_Clear(state);
    reconcile_cleared(outer);
}

void reconcile_cleared(PyThreadState *outer) {
    struct owner *me = owner_enter();
    if (me) {
        me->clearing = outer;
        owner_leave(me);
    }
}

/* Returns true if another thread may have the state in its slot. */
static bool is_known_elsewhere(struct owner *me, const PyThreadState *state, bool is_in_our_slot) {
    struct registry_entry entry;
    if (is_in_our_slot) {
        return false;
    }
    return !registry_find(state, &entry) || (entry.owner && entry.owner != me);
}

void reconcile_state_ends(PyThreadState *state, bool may_be_elsewhere) {
    struct owner *me = owner_enter();
    if (me) {
        keys_state_died(me, state);
        owner_state_ends(me, state, may_be_elsewhere);
    }
}

void reconcile_state_ended(PyThreadState *state) {
    tell_freed(state);
    struct owner *me = owner_enter();
    if (me) {
        keys_state_died(me, state);
        owner_state_ended(me, state);
        settle_detach(me, state);
        owner_leave(me);
    }
}

/* Deletes `state`. Returns true if the slot had to be put right. */
static bool delete_state(PyThreadState *state) {
    if (options_repairs(REPAIR_moved)) {
        return settle_delete(state, bound_is_set(state));
    }
    real.PyThreadState_Delete(state);
    return false;
}

void reconcile_delete(PyThreadState *state, const void *caller) {
    struct owner *me = owner_enter();
    if (!me || !state) {
        real.PyThreadState_Delete(state);
        return;
    }
    if (state == me->alias) {
        me->alias = NULL;
        return;
    }
    PyThreadState *in_slot = slot_get();
    reconcile_state_ends(state, is_known_elsewhere(me, state, in_slot == state));
    if (delete_state(state)) {
        tell_repaired(REPAIR_moved, caller, in_slot, state);
    }
    reconcile_state_ended(state);
}

void reconcile_delete_current(const void *caller) {
    struct owner *me = owner_enter();
    PyThreadState *current = me ? owner_attached(me) : NULL;
    if (!current) {
        real.PyThreadState_DeleteCurrent();
        return;
    }
    if (me->alias) {
        reconcile_save(caller); /* the state that stands for it lives on */
        return;
    }
    const struct block *block = blocks_last_of(&me->blocks, current);
    bool is_over = block && block->kind == BLOCK_OVER && block->beneath != current;
    bool is_detached = is_over && reconcile_resume_beneath(me, block, caller);
    reconcile_state_ends(current, false);
    if (is_detached) {
        delete_state(current);
    } else {
        real.PyThreadState_DeleteCurrent();
    }
    reconcile_state_ended(current);
}

/* ---- interpreters ----------------------------------------------------------------------------------------------- */

struct beneath_interpreter reconcile_before_new_interpreter(void) {
    struct owner *me = owner_enter();
    PyThreadState *current = me ? owner_attached(me) : NULL;
    bool is_taken = !me || interp_slot_follows || taken_here(me, current);
    if (!is_taken) {
        taken_by_another();
    }
    owner_leave(me);
    return (struct beneath_interpreter){current, is_taken};
}

void reconcile_after_new_interpreter(struct beneath_interpreter beneath, PyThreadState *state, const void *caller) {
    if (!state) {
        return;
    }
    owner_state_made(state, slot_get() == state);
    struct owner *me = owner_enter();
    if (!me) {
        return;
    }
    taken_is_over(me);
    me->untaken = beneath.is_taken || !interp_has_gil() ? NULL : state;
    if (!interp_slot_follows) {
        settle_slot(me, state, caller);
    }
    owner_take(me, state);
    if (beneath.attached) {
        nesting_swap(me, beneath.attached,
                     state); /* a thread that swaps back to it and in again has not left the block */
    }
    me->attached = state;
    settle_after_attach(state, caller);
    owner_leave(me);
}

void reconcile_end_interpreter(PyThreadState *state) {
    struct owner *me = owner_enter();
    bool was_taken = me && state && owner_attached(me) == state && taken_here(me, state);
    reconcile_state_ends(state, false);
    real.Py_EndInterpreter(state);
    reconcile_state_ended(state);
    /* Up to 3.11 the GIL is still held, with nothing attached. */
    me = owner_enter();
    if (me && was_taken) {
        taken_keeps_without_state(me);
    }
    owner_leave(me);
}

void reconcile_forget_interpreter(void) {
    owner_new_life();
    interp_forget();
    slot_forget();
    keys_forget_all();
}

void reconcile_before_initialize(void) {
    /* The end of the former life may not have been seen: Py_RunMain ends it inside CPython. */
    if (!interp_is_initialized()) {
        reconcile_forget_interpreter();
    }
    interp_is_over = false;
    interp_unwatch_end();
}

void reconcile_after_initialize(void) {
    struct owner *me = owner_in_turn(owner_enter());
    PyThreadState *current = me ? owner_attached(me) : NULL;
    if (current && current == slot_get()) {
        counter_learn(current);
    }
    if (me && current) {
        me->initialized = current;
    }
    owner_leave(me);
}

void reconcile_before_fork(void) {
    struct owner *me = owner_enter(); /* first, since it may make states (bound_learn) */
    if (me) {
        me->is_forking = true;
        owner_leave(me);
    }
}

void reconcile_after_fork(void) {
    struct owner *me = owner_self();
    if (me) {
        me->is_forking = false;
    }
}

void reconcile_in_child(void) {
    if (options_repairs(REPAIR_fork) && head_lock_was_left()) {
        head_lock_free();
        tell_repaired(REPAIR_fork, head_lock_taker(), NULL, NULL);
    }
}

/* Does nothing on 2.7: see owner_forked. */
void reconcile_before_freeing_others(void) {
    struct owner *me = slot_goes_by_ident() ? NULL : owner_enter();
    if (me) {
        owner_forked(me);
    }
}
