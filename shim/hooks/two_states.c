#include "hooks/two_states.h"

#include "cpython/counter.h"
#include "cpython/real.h"
#include "diagnose/call_sites.h"
#include "hooks/gear.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "states/plain.h"

/* Returns true if the slot stays where it is until a rule is called: on 2.7, where its place is not known. */
static bool stays(void) {
    return !known_slot();
}

static void move_slot(PyThreadState *state, bool is_home) {
    if (stays()) {
        owner_fast.two_states_is_late = is_home;
        return;
    }
    *(PyThreadState *volatile *)owner_fast.counted = state; /* slot_place is const, for code that only reads */
}

/* Returns true if this gear can see what it needs without a call. `counted` points to an empty word unless the places
 * of the slot, of the attached state and of the counter are known. */
static bool can_see(const struct owner *me) {
    return stays() ? !interp_is_debug && slot_goes_by_ident() && owner_fast.current && counter_is_known() &&
                         interp_ensures_itself
                   : *owner_fast.counted == me->override.state && !interp_slot_follows;
}

void two_states_begin(struct owner *me) {
    bool is_told = owner_is_recorded || options.verbosity >= 1; /* otherwise repairs are only counted */
    if (can_see(me) && !is_told && me->attached == me->override.state && !me->lent.state && !me->unseen.state &&
        !me->is_forking) {
        owner_fast.two_states_saved = NULL;
        owner_fast.two_states_epoch = owner_fast.verified;
        if (stays()) {
            owner_fast.counted = &me->override.state; /* equal to the slot while that state is attached */
        }
    }
}

static inline PyThreadState *attached(const struct owner *me) {
    PyThreadState *state = gear_is_two_states() ? me->override.state : NULL;
    bool is_there = state && *owner_fast.current == state && me->attached == state;
    return is_there && *owner_fast.counted == state ? state : NULL;
}

bool two_states_save(const PyThreadState *released) {
    struct owner *me = owner_fast.record;
    PyThreadState *state = attached(me);
    if (!state || (released && released != state)) {
        return false;
    }
    int count = *counter_of(state);
    if (!nesting_is_release(me, state, count, released) ||
        !blocks_push_detach(&me->blocks, state, me->override.is_guest)) {
        return false;
    }
    me->visits++;
    owner_fast.two_states_saved = state;
    owner_fast.two_states_saved_count = count;
    owner_fast.two_states_home = me->override.home;
    move_slot(me->override.home, true);
    me->override.state = me->override.home = me->attached = NULL;
    return true;
}

/* Returns true if a library was just told that `state` is this thread's: the attach begins a block of that library, and
 * does not end the release block (nesting.c). Like owner_was_just_told, but for before the visit is counted. */
static bool was_just_told(const struct owner *me, const PyThreadState *state) {
    return me->answer.state == state && me->answer.at == me->visits;
}

bool two_states_restore(PyThreadState *state, bool is_acquire, const void *caller) {
    if (!gear_is_two_states() || !state || owner_fast.two_states_saved != state || interp_is_finalizing() ||
        !(stays() ? owner_fast.two_states_is_late : *owner_fast.counted == owner_fast.two_states_home)) {
        return false;
    }
    struct owner *me = owner_fast.record;
    PyThreadState *current = *owner_fast.current;
    bool is_attached = current && (current == state || current == owner_fast.two_states_home);
    if (is_attached || (is_acquire && was_just_told(me, state)) ||
        *counter_of(state) != owner_fast.two_states_saved_count) {
        return false;
    }
    me->visits++;
    me->blocks.count--; /* the innermost one is what two_states_save has pushed: no rule was called since */
    me->override.home = owner_fast.two_states_home;
    me->override.state = me->attached = state;
    owner_fast.two_states_saved = NULL;
    move_slot(state, false);
    call_sites_count(me->override.as, caller);
    return true;
}

/* ---- the gear --------------------------------------------------------------------------------------------------- */

PyThreadState *two_states_PyEval_SaveThread(const void *caller) {
    return two_states_save(NULL) ? real.PyEval_SaveThread() : judged_PyEval_SaveThread(caller);
}

void two_states_PyEval_ReleaseThread(PyThreadState *state, const void *caller) {
    state &&two_states_save(state) ? real.PyEval_ReleaseThread(state) : judged_PyEval_ReleaseThread(state, caller);
}

void two_states_PyEval_RestoreThread(PyThreadState *state, const void *caller) {
    two_states_restore(state, false, caller) ? real.PyEval_RestoreThread(state)
                                             : judged_PyEval_RestoreThread(state, caller);
}

void two_states_PyEval_AcquireThread(PyThreadState *state, const void *caller) {
    two_states_restore(state, true, caller) ? real.PyEval_AcquireThread(state)
                                            : judged_PyEval_AcquireThread(state, caller);
}
