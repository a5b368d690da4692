#include "counter.h"
#include "elf.h"
#include "options.h"
#include "real.h"
#include "reconcile.h"
#include "report.h"
#include "settle.h"

static uintptr_t object_of(const void *caller) {
    struct elf_object object;
    return elf_find_by_address(caller, &object) ? (uintptr_t)object.symbols : 0;
}

static void real_attach(PyThreadState *state, enum owner_attach by) {
    if (by == OWNER_BY_ACQUIRE) {
        real.PyEval_AcquireThread(state);
    } else {
        real.PyEval_RestoreThread(state);
    }
}

static struct owner_held *push_block(struct owner *me, PyThreadState *state, enum owner_attach by, const void *caller) {
    struct owner_held *held = owner_push_held(me);
    if (held) {
        held->state = state;
        held->by = by;
        held->is_filed = owner_was_just_told(me, state) || keys_file(me, state);
        held->object = object_of(caller);
        held->counter = counter_read(state);
    }
    return held;
}

/* pybind11's acquire (it has just asked its key) in a release block. A hand-made AcquireThread may be the end of one. */
static void push_block_over_nothing(struct owner *me, PyThreadState *state, const void *caller) {
    struct owner_held *held = owner_top_held(me);
    if (held->is_over_nothing && held->was_saved && held->state == state) {
        owner_pop_held(me); /* it was saved by its end, then, with the count kept up: a release block ends by Restore */
    }
    held = push_block(me, state, OWNER_BY_ACQUIRE, caller);
    if (held) {
        held->is_over_nothing = true;
    }
}

/* Up to 3.11 an exchange under the held GIL: nobody can come in between, and it never meets finalization. From 3.12 on
 * it gives one interpreter's GIL back and takes the other's, also where both are the same. */
static void exchange(struct owner *me, PyThreadState *state, const void *caller) {
    me->holds_gil_without_state = false;
    if (interp_slot_follows) {
        owner_take(me, state);
    } else {
        settle_slot(me, state, caller);
    }
    me->attached = state;
    real.PyThreadState_Swap(state);
    settle_after_attach(state, caller);
}

void reconcile_attach_over(struct owner *me, PyThreadState *state, PyThreadState *current, enum owner_attach by,
                           const void *caller) {
    if (current) {
        settle_slot(me, current, caller);
        counter_learn(current);
    }
    struct owner_held *held = push_block(me, state, by, caller);
    if (!held) {
        real_attach(state, by);
        return;
    }
    held->beneath = current;
    held->is_filed = held->is_filed && state != current; /* pybind11 never attaches what is attached */
    report_repair(REPAIR_held, caller);
    owner_unsave(me, state);
    if (state != current) {
        exchange(me, state, caller);
    }
}

bool reconcile_resume_beneath(struct owner *me, const void *caller) {
    struct owner_held held = *owner_top_held(me);
    owner_pop_held(me);
    if (held.is_beneath_lost || held.is_over_nothing) {
        return false;
    }
    if (held.beneath && held.beneath != held.state) {
        exchange(me, held.beneath, caller);
    } else if (!held.beneath) {
        settle_detach(me, held.state);
        me->holds_gil_without_state = true;
        real.PyThreadState_Swap(NULL);
    }
    owner_leave(owner_self());
    return true;
}

void reconcile_attach(PyThreadState *state, enum owner_attach by, const void *caller) {
    struct owner *me = owner_enter();
    if (!me || !state) {
        real_attach(state, by);
        return;
    }
    PyThreadState *current = owner_attached(me);
    if (current && me->loan == state && current == state) {
        me->loan = NULL; /* attached already, on account of this very call */
        owner_unsave(me, state);
        owner_leave(me);
        return;
    }
    if (current || settle_holds_gil_only(me)) {
        /* Without a GIL there is nothing to wait for, and RestoreThread just changes the state: legal up to 3.6. */
        if (options_repairs(REPAIR_held) && (by == OWNER_BY_ACQUIRE || interp_has_gil())) {
            reconcile_attach_over(me, state, current, by, caller);
            return;
        }
    } else {
        settle_before_attach(me, state, caller);
        if (by == OWNER_BY_ACQUIRE && me->held.count && owner_was_just_told(me, state)) {
            push_block_over_nothing(me, state, caller);
        }
    }
    owner_unsave(me, state);
    me->attached = state;
    owner_leave(me);
    real_attach(state, by);
    settle_after_attach(state, caller);
}

/* PyEval_SaveThread under a state that was attached over a held GIL: is it the end of that block, or a release block
 * inside it? Taking an end for a release, the thread would go back into the lower block without the GIL; taking a
 * release for an end, the GIL would stay held in it. */
static bool is_end_of_block(const struct owner_held *held, const void *caller) {
    /* pybind11 counts the state up after its attach, and down again before its final SaveThread. */
    int counter = counter_read(held->state);
    bool is_counted_up = counter != COUNTER_UNKNOWN && held->counter != COUNTER_UNKNOWN && counter > held->counter;
    switch (held->by) {
    case OWNER_BY_ENSURE: return false; /* ends by PyGILState_Release */
    case OWNER_BY_ACQUIRE:              /* pybind11's; a hand-made one ends by ReleaseThread or DeleteCurrent */
        return held->is_filed && !is_counted_up;
    case OWNER_BY_RESTORE: /* somebody else's SaveThread is a release: who attached it saves it */
        return !is_counted_up && held->object == object_of(caller);
    }
    return false;
}

PyThreadState *reconcile_save(const void *caller) {
    struct owner *me = owner_enter();
    if (!me) {
        return real.PyEval_SaveThread();
    }
    PyThreadState *current = owner_attached(me);
    if (!current) {
        /* Misuse, and CPython says so; or a state that was attached unseen (a sub-interpreter run by CPython itself). */
        PyThreadState *state = real.PyEval_SaveThread();
        me = owner_self();
        if (me && state) {
            owner_save(me, state, true);
        }
        return state;
    }
    struct owner_held *held = owner_top_held(me);
    if (held && held->state == current) {
        held->was_saved = true;
    }
    if (held && held->state == current && is_end_of_block(held, caller) && reconcile_resume_beneath(me, caller)) {
        return current;
    }
    me = owner_self();
    if (me->loan == current) {
        me->loan = NULL;
    }
    owner_save(me, current, false);
    settle_detach(me, current);
    owner_leave(me);
    return real.PyEval_SaveThread();
}

void reconcile_release_thread(PyThreadState *state, const void *caller) {
    struct owner *me = owner_enter();
    if (me && state && owner_attached(me) == state) {
        const struct owner_held *held = owner_top_held(me);
        if (held && held->state == state && reconcile_resume_beneath(me, caller)) {
            return;
        }
        me = owner_self();
        settle_detach(me, state);
        owner_leave(me);
    }
    real.PyEval_ReleaseThread(state);
}

PyThreadState *reconcile_swap(PyThreadState *state, const void *caller) {
    struct owner *me = owner_enter();
    if (!me) {
        return real.PyThreadState_Swap(state);
    }
    PyThreadState *current = owner_attached(me);
    const struct owner_held *held = owner_top_held(me);
    if (held && current && held->state == current && held->beneath == state && state && state != current) {
        owner_pop_held(me); /* the block was ended by hand */
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
