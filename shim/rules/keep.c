#include <errno.h>

#include "cpython/counter.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/dead_states.h"
#include "states/registry.h"

/* keep=1. A foreign thread that calls in repeatedly pays for a new thread state each time, and for its end: the Release
 * that counts the state made by Ensure down to 0 frees it. With one more count held here, that Release saves the state
 * away, and the next Ensure finds it in the slot, as if another Ensure were open around them all. pybind11 keeps a
 * state alive in the same way.
 *
 * Not in free-threaded builds: what a state has of free lists and memory can be freed by its own thread only. Where another thread
 * clears it, PyThreadState_Clear empties that other thread's free lists, and the state's own are lost. */

enum { KEPT_COUNT = 1 }; /* the one held here */

void reconcile_keep(void) {
    struct owner *me = options.keep && !interp_is_free_threaded ? owner_enter() : NULL;
    PyThreadState *state = me ? owner_attached(me) : NULL;
    /* A thread that enters Python while it ends would leave the kept state behind. */
    if (state && state == slot_get() && !me->kept && !me->exit_rounds && !me->has_forked && !interp_is_finalizing()) {
        counter_learn(state);
        if (counter_read(state) == 1 && counter_add(state, 1)) {
            me->kept = state;
        }
    }
    owner_leave(me);
}

/* A thread that ends never waits for the GIL: the host may hold it and join the thread. A state with more counts than
 * the one held here was left in the middle of a block; another thread may go on with it. */
void reconcile_leave_kept(struct owner *me) {
    PyThreadState *state = me->kept;
    me->kept = NULL;
    bool can_be_freed =
        state && interp_is_initialized() && !interp_is_finalizing() && counter_read(state) == KEPT_COUNT;
    if (can_be_freed && owner_attached(me) != state && dead_states_add(state)) {
        tell_freed(state);   /* it will be freed */
        interp_next_epoch(); /* each thread comes to the rules once */
    }
}

/* PyThreadState_Clear runs the destructors of a thread's objects. That can be done here: the calling thread has just
 * taken the GIL, and other threads might have run any code while it waited. */
void reconcile_free_legacy(void) {
    struct owner *me = dead_states_is_there() ? owner_enter() : NULL;
    PyThreadState *current = me ? owner_attached(me) : NULL;
    bool may_run = current && !me->clearing && !me->exit_rounds && !me->has_forked && !interp_is_finalizing() &&
                   interp_of(current) == interp_main();
    int error = errno; /* PyEval_RestoreThread preserves it */
    for (PyThreadState *state = may_run ? dead_states_take() : NULL; state; state = me ? dead_states_take() : NULL) {
        me->clearing = state;
        registry_remove(state);
        real.PyThreadState_Clear(state);
        settle_delete(state, interp_slot_follows); /* it was in its thread's slot */
        me = owner_enter();
        if (me) {
            me->clearing = NULL;
        }
    }
    errno = error;
    owner_leave(me);
}
