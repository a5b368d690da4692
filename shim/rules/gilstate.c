#include "cpython/counter.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/taken.h"

/* PyGILState_Ensure where the GIL is held with no state attached (up to 3.11: after PyThreadState_Swap(NULL) or
 * Py_EndInterpreter). CPython would wait for the GIL that this thread holds. */
static int ensure_over_bare_gil(struct owner *me, const void *caller) {
    PyThreadState *state = settle_own_state(me);
    bool is_new = !state;
    if (is_new) {
        state = real.PyThreadState_New(interp_main());
        me = owner_self();
        if (!state || !me) {
            return real.PyGILState_Ensure();
        }
        owner_state_appeared(slot_get());
    }
    reconcile_attach_over(me, state, NULL, BLOCK_BY_ENSURE, caller);
    counter_learn(state);
    if (is_new) {
        counter_add(state, -1); /* as CPython's own Ensure does with a state that it made */
    }
    real.PyGILState_Ensure();
    return GILSTATE_UNLOCKED;
}

static void release_over_bare_gil(const struct block *over, const void *caller) {
    struct owner *me = owner_self();
    PyThreadState *state = over->state;
    int count = counter_read(state);
    counter_add(state, -1);
    if (count == 1) {
        real.PyThreadState_Clear(state);
        me = owner_self();
    }
    over = me ? blocks_find(&me->blocks, BLOCK_OVER, state) : NULL;
    if (over) {
        reconcile_resume_beneath(me, over, caller);
    }
    if (count == 1) {
        reconcile_state_ends(state, false);
        real.PyThreadState_Delete(state);
        reconcile_state_ended(state);
    }
}

int reconcile_ensure(const void *caller) {
    struct owner *me = owner_enter();
    if (!me) {
        return real.PyGILState_Ensure();
    }
    PyThreadState *current = owner_attached(me);
    if (current) {
        bool is_slot_right = settle_slot(me, current, caller);
        if (is_slot_right) {
            counter_learn(current);
        } else if (options_repairs(REPAIR_duplicate) && options_repairs(REPAIR_subinterp) &&
                   options_repairs(REPAIR_moved) && counter_add(current, 1)) {
            return GILSTATE_LOCKED; /* the slot cannot be written: this has the same effect */
        }
        owner_leave(me);
        return real.PyGILState_Ensure();
    }
    if (taken_without_state(me) && options_repairs(REPAIR_held)) {
        return ensure_over_bare_gil(me, caller);
    }
    PyThreadState *state = settle_own_state(me);
    if (state) {
        nesting_begin(me, state, BLOCK_BY_ENSURE);
    }
    if (!state || state == slot_get()) {
        if (state && state == me->override.state) {
            /* CPython has detached the state itself (PyOS_Readline), and must find the slot as it left it. */
            me->unseen.state = state;
            me->unseen.count = counter_read(state);
        }
        owner_leave(me);
        int ensured = real.PyGILState_Ensure();
        if (!state) {
            owner_state_appeared(slot_get());
            reconcile_keep();
        }
        reconcile_in_turn();
        return ensured;
    }
    if (!interp_slot_follows) {
        settle_slot(me, state, caller);
        me->attached = state;
        int ensured = real.PyGILState_Ensure();
        reconcile_in_turn();
        return ensured;
    }
    /* From 3.12 on the slot is not ours to write. The state is attached by hand; then Ensure finds it attached and only
     * counts. The caller is told UNLOCKED, so that its Release counts down and detaches. */
    settle_take(me, state, caller);
    real.PyEval_RestoreThread(state);
    settle_after_attach(state, caller);
    real.PyGILState_Ensure();
    reconcile_in_turn();
    return GILSTATE_UNLOCKED;
}

/* PyGILState_Release where the slot could not be made to name the attached state: CPython's own Release would abort. */
static void release_without_slot(PyThreadState *state, int gilstate) {
    int count = counter_read(state);
    if (count == COUNTER_UNKNOWN) {
        real.PyGILState_Release(gilstate);
        return;
    }
    counter_add(state, -1);
    if (count == 1) {
        real.PyThreadState_Clear(state);
        real.PyThreadState_DeleteCurrent();
    } else if (gilstate == GILSTATE_UNLOCKED) {
        real.PyEval_SaveThread();
    }
}

void reconcile_release(int gilstate, const void *caller) {
    struct owner *me = owner_enter();
    PyThreadState *current = me ? owner_attached(me) : NULL;
    if (!current) {
        real.PyGILState_Release(gilstate);
        return;
    }
    const struct block *block = gilstate == GILSTATE_UNLOCKED ? blocks_last_of(&me->blocks, current) : NULL;
    if (block && block->by == BLOCK_BY_ENSURE && block->kind == BLOCK_OVER) {
        release_over_bare_gil(block, caller);
        return;
    }
    if (block && block->by == BLOCK_BY_ENSURE && block->kind == BLOCK_ATTACH) {
        blocks_remove(&me->blocks, block);
    }
    bool is_slot_right = settle_slot(me, current, caller);
    int count = counter_read(current);
    if (gilstate == GILSTATE_LOCKED) {
        owner_leave(me);
        /* The Ensure found a state attached, so this Release cannot be the one that frees it. CPython's would free it
         * where the count was 0 before: in pybind11's dec_ref (issue #5827), or where another state is attached than at
         * the Ensure. */
        if (count == COUNTER_UNKNOWN || count > 1 || !options_repairs(REPAIR_freed)) {
            is_slot_right ? real.PyGILState_Release(gilstate) : release_without_slot(current, gilstate);
        } else {
            counter_add(current, -1);
            tell_repaired(REPAIR_freed, caller, current, NULL);
        }
        return;
    }
    if (count == 1) {
        reconcile_state_ends(current, false);
    }
    if (is_slot_right) {
        real.PyGILState_Release(gilstate);
    } else {
        release_without_slot(current, gilstate);
    }
    if (count == 1 || (count == COUNTER_UNKNOWN && slot_get() != current)) {
        reconcile_state_ended(current);
        return;
    }
    me = owner_enter();
    if (!me) {
        return;
    }
    if (me->unseen.state == current && count != COUNTER_UNKNOWN && count == me->unseen.count + 1) {
        me->unseen.state = NULL;
        return;
    }
    /* This is still the state that the thread was in last, although the slot does not name it or, from 3.12 on, will
     * cease to when another state is attached. A state that only its maker counts in is left to CPython, which attaches
     * unseen what it detached unseen (PyOS_Readline). */
    bool may_leave_slot = me->override.state == current
                              ? !blocks_find(&me->blocks, BLOCK_DETACH, current)
                              : interp_slot_follows && count > 2 && !blocks_last_of(&me->blocks, current);
    if (may_leave_slot) {
        nesting_begin_release(me, current);
    }
    settle_detach(me, current);
    owner_leave(me);
}

/* Returns true if `current` is attached to this thread, as far as that can be told without changing anything. */
static bool is_mine(const struct owner *me, const PyThreadState *current, const PyThreadState *in_slot) {
    return current && (interp_slot_follows || current == me->attached || current == in_slot);
}

/* Called in signal handlers, perhaps while this thread is inside a rule, so it only answers. The next call of another
 * kind puts the slot right. */
int reconcile_check(void) {
    struct owner *me = owner_self();
    bool is_repaired =
        options_repairs(REPAIR_duplicate) && options_repairs(REPAIR_subinterp) && options_repairs(REPAIR_moved);
    if (is_repaired && me && me->life == owner_life && !me->has_forked && is_mine(me, interp_current(), slot_get())) {
        return 1;
    }
    return real.PyGILState_Check ? real.PyGILState_Check() : 0;
}

/* Called in signal handlers (faulthandler), so it takes no lock of the shim's and changes nothing but a hint. */
PyThreadState *reconcile_this_thread_state(void) {
    PyThreadState *in_slot = owner_fast.two_states_is_late ? owner_fast.two_states_home : slot_get();
    struct owner *me = owner_self();
    if (!me || me->life != owner_life || me->has_forked) {
        return in_slot;
    }
    PyThreadState *current = interp_current();
    if (is_mine(me, current, in_slot)) {
        return current;
    }
    /* What other threads have done since this thread looked last is not known here. Its next call of another kind
     * looks. */
    PyThreadState *own = settle_choose(in_slot, me->blocks.count ? owner_last_own_saved(me) : owner_fast.parked);
    owner_note_answer(me, own);
    return own;
}
