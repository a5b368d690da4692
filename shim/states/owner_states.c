/* States change hands: they are taken, given up, made, freed. */
#include "states/owner.h"

#include "cpython/slot.h"
#include "states/registry.h"

/* Called when the registry has, or gets, an entry that says `state` is this thread's. */
static void note_taken(struct owner *me, const PyThreadState *state) {
    owner_fast.is_watched = true;
    if (me->lent.state == state) {
        me->lent.state = NULL;
    }
}

uint32_t owner_number(void) {
    static uint32_t numbers;
    static __thread uint32_t number;
    if (!number) {
        number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    }
    return number;
}

/* Returns true if other threads may use the state in turn with this one. */
static bool is_shared(const struct registry_entry *entry) {
    if (interp_slot_follows) {
        /* A state handed over once belongs to the thread that has it: from 3.12 on that thread's slot does not name
         * it. */
        return entry->moves >= 2;
    }
    return entry->has_moved || (entry->maker && entry->maker != owner_number());
}

bool owner_is_guest(struct owner *me, const PyThreadState *state) {
    struct registry_entry entry;
    if (interp_slot_follows && blocks_find(&me->blocks, BLOCK_OVER, state)) {
        return false; /* another state is set aside beneath, and the thread cannot go on with that one instead */
    }
    if (me->override.state == state) {
        return me->override.is_guest;
    }
    return slot_get() != state && registry_find(state, &entry) && is_shared(&entry);
}

bool owner_is_in_turn(const PyThreadState *state) {
    struct registry_entry entry;
    return registry_find(state, &entry) && is_shared(&entry) && entry.maker && entry.maker != owner_number();
}

bool owner_take(struct owner *me, PyThreadState *state) {
    struct registry_entry entry;
    bool is_known = registry_find(state, &entry);
    note_taken(me, state);
    if (is_known && entry.owner == me) {
        return is_shared(&entry);
    }
    /* A state is in no slot if it was made here or by a thread that already had a state, and was never attached. */
    bool is_fresh = is_known && !entry.owner && !entry.has_moved && !entry.is_dead;
    bool has_moved = !is_fresh && slot_get() != state;
    uint32_t epoch = has_moved ? owner_tell_others() : __atomic_load_n(&interp_epoch, __ATOMIC_ACQUIRE);
    registry_take(state, me, epoch, has_moved);
    if (has_moved) {
        registry_find(state, &entry); /* the entry as it is now */
    }
    return is_shared(&entry);
}

void owner_was_filed(struct owner *me, const PyThreadState *state) {
    struct registry_entry entry;
    if (me->override.state == state && me->override.is_guest) {
        me->override.is_guest = registry_find(state, &entry) && is_shared(&entry);
    }
}

void owner_give_up(struct owner *me, const PyThreadState *state) {
    bool is_saved = owner_attached(me) != state && blocks_find(&me->blocks, BLOCK_DETACH, state);
    if (is_saved && slot_get() != state && me->override.home != state && registry_give_up(state, me)) {
        owner_tell_others();
    }
}

bool owner_state_made(PyThreadState *state, bool is_in_slot) {
    struct owner *me = is_in_slot ? owner_fast.record : NULL;
    if (me) {
        note_taken(me, state);
    }
    registry_add(state, me, owner_number(), is_in_slot, __atomic_load_n(&interp_epoch, __ATOMIC_ACQUIRE));
    return me;
}

void owner_state_appeared(PyThreadState *state) {
    struct registry_entry entry;
    struct owner *me = owner_fast.record;
    if (!me || !state || (!registry_find(state, &entry) && !entry.died) || entry.owner == me) {
        return;
    }
    owner_state_made(state, true); /* what was known of another state at this address is out of date */
}

static void forget(struct owner *me, const PyThreadState *state) {
    if (me->override.home == state) {
        me->override.home = NULL;
    }
    if (me->lent.state == state) {
        me->lent.state = NULL;
    }
    if (me->kept == state) {
        me->kept = NULL;
    }
    if (me->untaken == state) {
        me->untaken = NULL;
    }
    blocks_forget(&me->blocks, state);
}

void owner_state_ends(struct owner *me, PyThreadState *state, bool may_be_elsewhere) {
    me->clearing = state;
    if (may_be_elsewhere || !registry_remove_unmoved(state)) {
        registry_bury(state, interp_next_epoch());
    }
    forget(me, state);
}

void owner_state_ended(struct owner *me, PyThreadState *state) {
    me->clearing = NULL;
    /* Before the Release it could not be told whether it would free the state. */
    if (!registry_remove_unmoved_of(state, me)) {
        registry_bury(state, interp_next_epoch());
    }
    if (me->attached == state) {
        me->attached = NULL;
    }
    forget(me, state);
    if (me->unseen.state == state) {
        me->unseen.state = NULL;
    }
}
