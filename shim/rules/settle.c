#include "rules/settle.h"
#include "rules/tell.h"

#include "cpython/bound.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "states/registry.h"

/* Returns which repair it is to let the slot name `state` in place of `in_slot`. */
static enum repair kind_of(struct owner *me, const PyThreadState *state, const PyThreadState *in_slot) {
    struct registry_entry entry;
    const PyThreadState *older = me->override.state ? me->override.home : in_slot;
    const PyInterpreterState *interp = interp_of(state);
    if (older ? interp && interp_of(older) != interp : interp && interp != interp_main()) {
        return REPAIR_subinterp;
    }
    bool is_elsewhere = registry_find(state, &entry) && entry.owner && entry.owner != me;
    return is_elsewhere || !older ? REPAIR_moved : REPAIR_duplicate;
}

/* Finds the slot's place where it is not known and this thread's slot is empty. A state made for the moment shows it,
 * since CPython puts a new state into an empty slot at once. Needs no GIL. */
static void learn_from_new_state(const PyThreadState *like) {
    PyInterpreterState *interp = slot_is_known() || slot_get() ? NULL : interp_of(like);
    PyThreadState *made = interp ? real.PyThreadState_New(interp) : NULL;
    if (made) {
        slot_learn();
        if (interp_slot_follows) {
            real.PyThreadState_Clear(made); /* from 3.12 on Delete requires it */
        }
        real.PyThreadState_Delete(made);
    }
}

/* Notes and reports that the slot names `state` now, in place of `in_slot`. */
static void note_override(struct owner *me, PyThreadState *state, PyThreadState *in_slot, bool is_guest,
                          enum repair kind, const void *caller) {
    me->override.is_guest = is_guest;
    if (!me->override.state) {
        me->override.home = in_slot;
    }
    me->override.state = state;
    me->override.as = (uint8_t)kind;
    tell_repaired(kind, caller, state, in_slot);
}

/* Returns true if `state` was in this thread's slot until it went to another thread for a while. */
static bool is_back_home(const struct owner *me, const PyThreadState *state, const PyThreadState *in_slot) {
    return me->lent.state == state && me->lent.was_home && !me->override.state && !in_slot;
}

bool settle_slot(struct owner *me, PyThreadState *state, const void *caller) {
    PyThreadState *in_slot = slot_get();
    if (in_slot == state) {
        return true;
    }
    if (me->override.state && state == me->override.home) {
        me->override.state = me->override.home = NULL;
        return slot_set(state);
    }
    enum repair kind = kind_of(me, state, in_slot);
    if (!options_repairs(kind)) {
        return false;
    }
    bool is_home = is_back_home(me, state, in_slot);
    bool is_guest = owner_take(me, state);
    learn_from_new_state(state);
    if (!slot_set(state)) {
        return false;
    }
    if (!is_home) {
        note_override(me, state, in_slot, is_guest, kind, caller);
    }
    return true;
}

void settle_before_attach(struct owner *me, PyThreadState *state, const void *caller) {
    const struct block *detached = blocks_find(&me->blocks, BLOCK_DETACH, state);
    if (slot_get() == state || (detached && detached->is_foreign)) {
        return;
    }
    settle_take(me, state, caller);
}

void settle_take(struct owner *me, PyThreadState *state, const void *caller) {
    if (!interp_slot_follows) {
        settle_slot(me, state, caller);
        return;
    }
    PyThreadState *in_slot = slot_get();
    bool is_home = is_back_home(me, state, in_slot) && options_repairs(REPAIR_moved);
    bool is_guest = owner_take(me, state);
    if (is_home && !(is_guest && owner_is_in_turn(state)) && slot_set(state)) {
        return;
    }
    if (in_slot != state && bound_is_set(state) && options_repairs(REPAIR_moved) && slot_set(state)) {
        owner_unsettle();
        if (state != me->clearing) {
            note_override(me, state, in_slot, is_guest, REPAIR_moved, caller);
        }
        return;
    }
    /* A state in the middle of its PyThreadState_Clear cannot get into a slot again (debug builds assert
     * tstate_is_alive). It stays noted as being in a slot if CPython finds the slot empty when the other state
     * comes. */
    if (me->clearing && in_slot == me->clearing && in_slot != state && bound_is_set(in_slot)) {
        slot_set(NULL);
    }
}

bool settle_delete(PyThreadState *state, bool is_in_some_slot) {
    PyThreadState *in_slot = slot_get();
    /* Debug builds assert that it is in this one. The slot can't be lent to it: in free-threaded builds Delete may detach the
     * attached state for a moment, and attach it again. */
    bool is_elsewhere = in_slot != state && bound_is_set(state);
    if (is_elsewhere) {
        bound_clear(state);
    } else if (is_in_some_slot && in_slot != state) {
        slot_set(state);
    }
    real.PyThreadState_Delete(state);
    bool is_put_right = in_slot != state && slot_get() != in_slot && slot_set(in_slot);
    return in_slot && (is_put_right || is_elsewhere);
}

void settle_after_attach(PyThreadState *state, const void *caller) {
    if (!interp_slot_follows) {
        return;
    }
    PyThreadState *in_slot = slot_get();
    struct owner *me = in_slot == state ? NULL : owner_self();
    /* CPython notes that the state is in a slot already (bound_gilstate), and it is: in another thread's. */
    if (!me || !options_repairs(REPAIR_moved)) {
        return;
    }
    learn_from_new_state(state);
    bool is_guest = owner_is_guest(me, state);
    if (slot_set(state)) {
        owner_unsettle();
        me->override.home = in_slot;
        me->override.is_guest = is_guest;
        me->override.state = state;
        me->override.as = REPAIR_moved;
        tell_repaired(REPAIR_moved, caller, state, in_slot);
    }
}

/* From 3.12 on PyThreadState_Swap puts a state that is in no slot into this thread's slot, in place of `me->override.state`.
 * Returns true if it has, and that state is attached. The state then counts as what the slot names in place of
 * `me->override.home`. */
static bool was_overridden_by_cpython(struct owner *me) {
    PyThreadState *in_slot = interp_slot_follows ? slot_get() : NULL;
    if (!in_slot || in_slot == me->override.state || in_slot != owner_attached(me)) {
        return false;
    }
    me->override.is_guest = owner_is_guest(me, in_slot);
    me->override.state = in_slot == me->override.home ? NULL : in_slot;
    me->override.home = me->override.state ? me->override.home : NULL;
    return true;
}

void settle_detach(struct owner *me, PyThreadState *state) {
    if (me->override.state == state && !was_overridden_by_cpython(me)) {
        PyThreadState *home = me->override.home;
        me->override.state = me->override.home = NULL;
        slot_set(home);
    }
    if (me->attached == state) {
        me->attached = NULL;
    }
    if (me->untaken == state) {
        me->untaken = NULL;
    }
}

PyThreadState *settle_choose(PyThreadState *in_slot, PyThreadState *saved) {
    if (!saved || saved == in_slot) {
        return in_slot;
    }
    /* From 3.12 on the slot names what was attached last, and nothing once that is deleted: a block that has ended can
     * change it. The state that is to be attached again stays the same. */
    if (!in_slot || interp_slot_follows) {
        return options_repairs(REPAIR_moved) || options_repairs(REPAIR_duplicate) ? saved : in_slot;
    }
    /* Within one interpreter CPython's own choice stands. If the state that was saved last is another interpreter's,
     * the thread is in that state (3.12 makes this choice without the shim). */
    bool is_other_interp = interp_of(in_slot) != interp_of(saved);
    return is_other_interp && options_repairs(REPAIR_subinterp) ? saved : in_slot;
}

PyThreadState *settle_own_state(struct owner *me) {
    PyThreadState *attached = owner_attached(me);
    if (attached) {
        return attached;
    }
    PyThreadState *in_slot = slot_get();
    if (interp_slot_follows && in_slot && in_slot != me->override.state && options_repairs(REPAIR_moved) &&
        owner_is_in_turn(in_slot) && slot_set(NULL)) {
        in_slot = NULL; /* from a pool: another thread may have it by now */
    }
    return settle_choose(in_slot, owner_last_own_saved(me));
}
