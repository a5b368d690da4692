/* States change hands: they are taken, given up, made, freed. */
#include "owner.h"

#include "registry.h"
#include "slot.h"

void owner_take(struct owner *me, PyThreadState *state) {
    struct registry_entry entry;
    bool is_known = registry_find(state, &entry);
    owner_fast.is_watched = true;
    if (me->lent == state) {
        me->lent = NULL;
    }
    if (is_known && entry.owner == me) {
        return;
    }
    /* Made here or by a thread that had a state of its own already, and never attached: it is in nobody's slot. */
    bool is_fresh = is_known && !entry.owner && !entry.has_moved && !entry.is_dead;
    bool has_moved = !is_fresh && slot_get() != state;
    uint32_t epoch = has_moved ? owner_tell_others() : __atomic_load_n(&interp_epoch, __ATOMIC_ACQUIRE);
    registry_take(state, me, epoch, has_moved);
}

void owner_give_up(struct owner *me, const PyThreadState *state) {
    bool is_saved = owner_attached(me) != state && blocks_find(&me->blocks, BLOCK_DETACH, state);
    if (is_saved && slot_get() != state && me->home != state && registry_give_up(state, me)) {
        owner_tell_others();
    }
}

void owner_state_made(PyThreadState *state) {
    registry_add(state);
}

void owner_state_appeared(PyThreadState *state) {
    struct registry_entry entry;
    struct owner *me = owner_fast.record;
    if (!me || !state || (!registry_find(state, &entry) && !entry.died) || entry.owner == me) {
        return;
    }
    registry_add(state); /* what was known of another one at this address is history */
    owner_take(me, state);
}

static void forget(struct owner *me, const PyThreadState *state) {
    if (me->home == state) {
        me->home = NULL;
    }
    if (me->lent == state) {
        me->lent = NULL;
    }
    if (me->kept == state) {
        me->kept = NULL;
    }
    blocks_forget(&me->blocks, state);
}

void owner_state_ends(struct owner *me, PyThreadState *state, bool may_be_elsewhere) {
    struct registry_entry entry;
    me->clearing = state;
    if (may_be_elsewhere || (registry_find(state, &entry) && entry.has_moved)) {
        registry_bury(state, interp_next_epoch());
    } else {
        registry_remove(state);
    }
    forget(me, state);
}

void owner_state_ended(struct owner *me, PyThreadState *state) {
    struct registry_entry entry;
    me->clearing = NULL;
    /* Whether a Release would free it could not be told before. */
    if (registry_find(state, &entry) && entry.owner == me && entry.has_moved) {
        registry_bury(state, interp_next_epoch());
    }
    registry_remove_of(state, me);
    if (me->attached == state) {
        me->attached = NULL;
    }
    forget(me, state);
    if (me->unseen == state) {
        me->unseen = NULL;
    }
}
