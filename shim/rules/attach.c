#include "cpython/bound.h"
#include "cpython/counter.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/final_state.h"
#include "rules/nesting.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/taken.h"

static void real_attach(PyThreadState *state, enum block_by by) {
    if (by == BLOCK_BY_ACQUIRE) {
        real.PyEval_AcquireThread(state);
    } else {
        real.PyEval_RestoreThread(state);
    }
}

/* Replaces the attached state with `state`. Up to 3.11 this is an exchange under the held GIL: no other thread can run
 * in between, and it never meets finalization. From 3.12 on it gives one interpreter's GIL back and takes the other's,
 * even where both are the same. */
static void exchange(struct owner *me, PyThreadState *state, const void *caller) {
    taken_is_over(me);
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
    tell_repaired(REPAIR_held, caller, state, current);
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
                me, ended.state); /* CPython takes the slot's state out of the slot, and notes that in the state */
        }
        exchange(me, ended.beneath, caller);
    } else if (!ended.beneath) {
        settle_detach(me, ended.state);
        taken_keeps_without_state(me);
        real.PyThreadState_Swap(NULL);
    }
    owner_leave(owner_self());
    return true;
}

/* Returns true if `state` is in a release block of a thread that runs under another thread's GIL. Such a thread gives
 * that GIL back and takes it again for the other thread. */
static bool is_borrowed(struct owner *me, const PyThreadState *state) {
    const struct block *detached = blocks_find(&me->blocks, BLOCK_DETACH, state);
    return detached && detached->is_borrowed;
}

static void note_borrowed(struct owner *me, const PyThreadState *state) {
    struct block *detached = blocks_find(&me->blocks, BLOCK_DETACH, state);
    if (detached) {
        detached->is_foreign = detached->is_borrowed = true;
        detached->is_guest = slot_get() != state;
    }
    taken_by_another();
}

/* Begins the attach of `state` on a thread that has nothing attached under a GIL it took itself. A state that, as far
 * as can be known, another thread has attached is not noted as this thread's: a later call that takes the GIL for this
 * thread must not find that the thread has it already. */
static void begin(struct owner *me, PyThreadState *state, enum block_by by, const void *caller) {
    bool is_anothers = is_borrowed(me, state);
    settle_before_attach(me, state, caller);
    nesting_begin(me, state, by);
    me->attached = state;
    if (is_anothers && slot_get() == state) {
        me->untaken = state;
    } else if (is_anothers) {
        me->attached = NULL;
    }
}

/* Tells two kinds of unseen attach apart. Returns true if `state` is a sub-interpreter's that CPython itself runs over
 * the thread's own state, and false if it is another thread's. */
static bool is_run_by_cpython(struct owner *me, const PyThreadState *state) {
    const PyThreadState *own = slot_get();
    return own && state && !blocks_find(&me->blocks, BLOCK_DETACH, own) && interp_of(own) != interp_of(state);
}

void reconcile_in_turn(void) {
    if (bound_is_wanted_in_turn()) {
        owner_leave(owner_in_turn(owner_enter()));
    }
    reconcile_free_legacy();
}

void reconcile_attach(PyThreadState *state, enum block_by by, const void *caller) {
    struct owner *me = owner_enter();
    if (!me || !state) {
        real_attach(state, by);
        return;
    }
    PyThreadState *current = owner_attached(me);
    if (current && me->loan == state && current == state) {
        me->loan = NULL; /* already attached, in anticipation of this very call */
        owner_leave(me);
        return;
    }
    enum final_attach final = interp_is_finalizing() ? final_attach(me, state, current, by, caller) : FINAL_ORDINARY;
    if (final == FINAL_OVER_ITSELF) {
        reconcile_attach_over(me, current, current, by, caller);
    }
    if (final != FINAL_ORDINARY) {
        return;
    }
    if (options_repairs(REPAIR_oldlock) && reconcile_attach_given(me, state, caller)) {
        return;
    }
    if (taken_here(me, current)) {
        /* Without a GIL there is nothing to wait for, and RestoreThread just replaces the state: legal up to 3.6. */
        if (options_repairs(REPAIR_held) && (by == BLOCK_BY_ACQUIRE || interp_has_gil())) {
            reconcile_attach_over(me, state, current, by, caller);
            return;
        }
        me->attached = state;
    } else {
        if (current) {
            settle_detach(me, current); /* the attach takes the GIL and replaces the state */
        }
        begin(me, state, by, caller);
    }
    owner_leave(me);
    real_attach(state, by);
    settle_after_attach(state, caller);
    reconcile_in_turn();
}

PyThreadState *reconcile_instead_of_null(const void *caller) {
    struct owner *me = options_repairs(REPAIR_null) ? owner_enter() : NULL;
    if (!me) {
        return NULL;
    }
    bool is_detached = !owner_attached(me) && !taken_without_state(me) && !interp_is_finalizing();
    PyThreadState *saved = is_detached ? settle_own_state(me) : NULL;
    owner_leave(me);
    if (saved) {
        tell_repaired(REPAIR_null, caller, saved, NULL);
    }
    return saved;
}

PyThreadState *reconcile_save(const void *caller) {
    struct owner *me = owner_in_turn(owner_enter());
    if (!me) {
        return real.PyEval_SaveThread();
    }
    PyThreadState *current = owner_attached(me);
    if (!current) {
        /* This is misuse, which CPython reports, or the state was attached unseen. */
        bool is_anothers = !interp_slot_follows && interp_has_gil() && !is_run_by_cpython(me, interp_current());
        PyThreadState *state = real.PyEval_SaveThread();
        me = owner_self();
        struct block *block = me && state ? blocks_push(&me->blocks, BLOCK_DETACH, state) : NULL;
        if (block) {
            block->is_foreign = true;
        }
        if (block && is_anothers) {
            note_borrowed(me, state);
        }
        return state;
    }
    bool is_untaken = current == me->untaken;
    const struct block *over = nesting_detach(me, current, false, caller);
    if (over && reconcile_resume_beneath(me, over, caller)) {
        return current;
    }
    me = owner_self();
    if (me->loan == current) {
        me->loan = NULL;
    }
    settle_detach(me, current);
    if (is_untaken) {
        note_borrowed(me, current);
    }
    owner_leave(me);
    return real.PyEval_SaveThread();
}

void reconcile_release_thread(PyThreadState *state, const void *caller) {
    struct owner *me = owner_in_turn(owner_enter());
    if (me && state && state == me->alias) {
        state = owner_attached(me);
    }
    if (me && state && owner_attached(me) == state) {
        bool is_untaken = state == me->untaken;
        const struct block *over = nesting_detach(me, state, true, caller);
        if (over && reconcile_resume_beneath(me, over, caller)) {
            return;
        }
        me = owner_self();
        settle_detach(me, state);
        if (is_untaken) {
            note_borrowed(me, state);
        }
        owner_leave(me);
    }
    real.PyEval_ReleaseThread(state);
}

/* PyThreadState_Swap on a thread that has not taken the GIL. Up to 3.11 Swap does not take it either. Nobody can know
 * under whose GIL the thread runs then. The state that it finds attached may be in use, and comes back. */
static PyThreadState *swap_untaken(struct owner *me, PyThreadState *current, PyThreadState *state) {
    if (state != current) {
        nesting_swap(me, current, state);
    }
    if (current && state != current) {
        settle_detach(me, current);
    }
    if (state) {
        taken_by_another();
    }
    PyThreadState *previous = real.PyThreadState_Swap(state);
    me = owner_self();
    if (me) {
        me->untaken = state ? owner_attached(me) : NULL;
    }
    owner_leave(owner_self());
    return previous;
}

PyThreadState *reconcile_swap(PyThreadState *state, const void *caller) {
    struct owner *me = state ? owner_enter() : owner_in_turn(owner_enter());
    if (!me) {
        return real.PyThreadState_Swap(state);
    }
    PyThreadState *current = owner_attached(me);
    if (!interp_slot_follows && !taken_here(me, current) && interp_has_gil()) {
        return swap_untaken(me, current, state);
    }
    if (state != current) {
        nesting_swap(me, current, state);
    }
    if (state && state != current) {
        taken_is_over(me);
        settle_before_attach(me, state, caller);
        me->attached = state;
    } else if (!state && current) {
        settle_detach(me, current);
        taken_keeps_without_state(me);
    }
    PyThreadState *previous = real.PyThreadState_Swap(state);
    if (state) {
        settle_after_attach(state, caller);
    }
    owner_leave(owner_self());
    return previous;
}
