#include "second.h"

#include "counter.h"
#include "nesting.h"
#include "options.h"
#include "sites.h"

/* slot_place is for who only looks. */
static void move_slot(PyThreadState *state) {
    *(PyThreadState *volatile *)owner_fast.counted = state;
}

static bool is_second(void) {
    return owner_fast.second == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}

void second_begin(struct owner *me) {
    /* `counted` names an empty word unless the places of the slot, of the attached state and of the count are known. */
    bool can_see = *owner_fast.counted == me->override && !interp_slot_follows;
    bool is_told = owner_is_recorded || options.verbosity >= 1; /* repairs are just counted otherwise */
    if (can_see && !is_told && me->attached == me->override && !me->lent && !me->unseen && !me->is_forking) {
        owner_fast.saved = NULL;
        owner_fast.second = owner_fast.verified;
    }
}

bool second_save(void) {
    PyThreadState *state = is_second() ? *owner_fast.counted : NULL;
    struct owner *me = owner_fast.record;
    if (!state || *owner_fast.current != state || me->override != state || me->attached != state) {
        return false;
    }
    int count = *counter_of(state);
    if (!nesting_is_release(me, state, count) || !blocks_push_detach(&me->blocks, state)) {
        return false;
    }
    me->visits++;
    owner_fast.saved = state;
    owner_fast.saved_count = count;
    owner_fast.home = me->home;
    move_slot(me->home);
    me->override = me->home = me->attached = NULL;
    return true;
}

bool second_restore(PyThreadState *state, const void *caller) {
    if (!is_second() || !state || owner_fast.saved != state || *owner_fast.counted != owner_fast.home ||
        interp_is_finalizing()) {
        return false;
    }
    struct owner *me = owner_fast.record;
    PyThreadState *current = *owner_fast.current;
    bool is_attached = current && (current == state || current == owner_fast.home);
    if (is_attached || *counter_of(state) != owner_fast.saved_count) {
        return false;
    }
    me->visits++;
    me->blocks.count--; /* what second_save pushed is the innermost one: no rule was asked since */
    me->home = owner_fast.home;
    me->override = me->attached = state;
    owner_fast.saved = NULL;
    move_slot(state);
    sites_count(me->override_as, caller);
    return true;
}
