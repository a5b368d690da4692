#include "counter.h"
#include "nesting.h"
#include "options.h"
#include "real.h"
#include "reconcile.h"
#include "report.h"
#include "settle.h"
#include "shortway.h"

static void real_attach(PyThreadState *state, enum block_by by) {
    if (by == BLOCK_BY_ACQUIRE) {
        real.PyEval_AcquireThread(state);
    } else {
        real.PyEval_RestoreThread(state);
    }
}

/* Up to 3.11 an exchange under the held GIL: nobody can come in between, and it never meets finalization. From 3.12 on
 * it gives one interpreter's GIL back and takes the other's, also where both are the same. */
static void exchange(struct owner *me, PyThreadState *state, const void *caller) {
    me->holds_gil_without_state = false;
    settle_take(me, state, caller);
    me->attached = state;
    real.PyThreadState_Swap(state);
    settle_after_attach(state, caller);
}

void reconcile_attach_over(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                           const void *caller) {
    if (current) {
        settle_slot(me, current, caller);
        counter_learn(current);
    }
    if (!nesting_begin_over(me, state, current, by, caller)) {
        real_attach(state, by);
        return;
    }
    report_repair_of(REPAIR_held, caller, state, current);
    if (state != current) {
        exchange(me, state, caller);
    }
}

bool reconcile_resume_beneath(struct owner *me, const struct block *over, const void *caller) {
    struct block ended = *over;
    blocks_remove(&me->blocks, over);
    if (ended.is_beneath_lost) {
        return false;
    }
    if (ended.beneath && ended.beneath != ended.state) {
        if (interp_slot_follows) {
            settle_detach(
                me, ended.state); /* CPython takes out of the slot what stands there, and notes it in that state */
        }
        exchange(me, ended.beneath, caller);
    } else if (!ended.beneath) {
        settle_detach(me, ended.state);
        me->holds_gil_without_state = true;
        real.PyThreadState_Swap(NULL);
    }
    owner_leave(owner_self());
    return true;
}

void reconcile_attach(PyThreadState *state, enum block_by by, const void *caller) {
    if (shortway_attach(state)) {
        real_attach(state, by);
        return;
    }
    struct owner *me = owner_enter();
    if (!me || !state) {
        real_attach(state, by);
        return;
    }
    PyThreadState *current = owner_attached(me);
    if (current && me->loan == state && current == state) {
        me->loan = NULL; /* attached already, on account of this very call */
        owner_leave(me);
        return;
    }
    if (interp_is_finalizing() && reconcile_attach_while_finalizing(me, state, current, by, caller)) {
        return;
    }
    if (current || settle_holds_gil_only(me)) {
        /* Without a GIL there is nothing to wait for, and RestoreThread just changes the state: legal up to 3.6. */
        if (options_repairs(REPAIR_held) && (by == BLOCK_BY_ACQUIRE || interp_has_gil())) {
            reconcile_attach_over(me, state, current, by, caller);
            return;
        }
    } else {
        settle_before_attach(me, state, caller);
        nesting_begin(me, state, by);
    }
    me->attached = state;
    owner_leave(me);
    real_attach(state, by);
    settle_after_attach(state, caller);
    reconcile_free_legacy();
}

PyThreadState *reconcile_instead_of_null(const void *caller) {
    struct owner *me = options_repairs(REPAIR_null) ? owner_enter() : NULL;
    if (!me) {
        return NULL;
    }
    bool is_detached = !owner_attached(me) && !settle_holds_gil_only(me) && !interp_is_finalizing();
    PyThreadState *saved = is_detached ? settle_own_state(me) : NULL;
    owner_leave(me);
    if (saved) {
        report_repair_of(REPAIR_null, caller, saved, NULL);
    }
    return saved;
}

PyThreadState *reconcile_save(const void *caller) {
    if (shortway_save()) {
        return real.PyEval_SaveThread();
    }
    struct owner *me = owner_enter();
    if (!me) {
        return real.PyEval_SaveThread();
    }
    PyThreadState *current = owner_attached(me);
    if (!current) {
        /* Misuse, and CPython says so; or a state that was attached unseen (a sub-interpreter run by CPython itself). */
        PyThreadState *state = real.PyEval_SaveThread();
        me = owner_self();
        struct block *block = me && state ? blocks_push(&me->blocks, BLOCK_DETACH, state) : NULL;
        if (block) {
            block->is_foreign = true;
        }
        return state;
    }
    const struct block *over = nesting_detach(me, current, false, caller);
    if (over && reconcile_resume_beneath(me, over, caller)) {
        return current;
    }
    me = owner_self();
    if (me->loan == current) {
        me->loan = NULL;
    }
    settle_detach(me, current);
    owner_leave(me);
    return real.PyEval_SaveThread();
}

void reconcile_release_thread(PyThreadState *state, const void *caller) {
    struct owner *me = owner_enter();
    if (me && state && state == me->alias) {
        state = owner_attached(me);
    }
    if (me && state && owner_attached(me) == state) {
        const struct block *over = nesting_detach(me, state, true, caller);
        if (over && reconcile_resume_beneath(me, over, caller)) {
            return;
        }
        me = owner_self();
        settle_detach(me, state);
        owner_leave(me);
    }
    real.PyEval_ReleaseThread(state);
}

PyThreadState *reconcile_swap(PyThreadState *state, const void *caller) {
    if (shortway_swap(state)) {
        return real.PyThreadState_Swap(state);
    }
    struct owner *me = owner_enter();
    if (!me) {
        return real.PyThreadState_Swap(state);
    }
    PyThreadState *current = owner_attached(me);
    if (state != current) {
        nesting_swap(me, current, state);
    }
    if (state && state != current) {
        me->holds_gil_without_state = false;
        settle_before_attach(me, state, caller);
        me->attached = state;
    } else if (!state && current) {
        settle_detach(me, current);
        me->holds_gil_without_state = !interp_slot_follows;
    }
    PyThreadState *previous = real.PyThreadState_Swap(state);
    if (state) {
        settle_after_attach(state, caller);
    }
    owner_leave(owner_self());
    return previous;
}

void reconcile_acquire_lock(void) {
    real.PyEval_AcquireLock();
    struct owner *me = owner_enter();
    if (me) {
        me->holds_gil_without_state = !interp_slot_follows && !owner_attached(me);
        owner_leave(me);
    }
}

void reconcile_release_lock(void) {
    struct owner *me = owner_enter();
    if (me) {
        me->holds_gil_without_state = false;
        owner_leave(me);
    }
    real.PyEval_ReleaseLock();
}
