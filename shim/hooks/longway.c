#include "hooks/longway.h"

#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "diagnose/observe.h"
#include "hooks/lifecycle.h"
#include "hooks/pass_through.h"
#include "hooks/record.h"
#include "hooks/two_states.h"
#include "journal/journal.h"
#include "rules/reconcile.h"
#include "states/owner.h"
#include "states/plain.h"

/* Where calls are recorded, the recorder asks the rules. */
#define RULE(name) (journal_is_on ? record_##name : reconcile_##name)

/* A thread that needs no rule comes here where nobody knows where to look at what is attached (libpython opened late, from
 * 3.12 on): CPython is asked instead. */
static inline bool goes_straight(void) {
    return owner_is_settled() && !journal_is_on;
}

/* Calls that are recorded, and of which nothing is to be foreseen: a thread that needs no rule has its state attached, or
 * takes back what it has saved away. In the modes that look on no thread is settled. */
static inline PyThreadState *seen_attached(void) {
    return journal_is_on ? settled_seen_attached() : NULL;
}
static inline bool is_seen_parked(const PyThreadState *state) {
    return journal_is_on && options_repairs(REPAIR_finalize) && !interp_may_have_ended() &&
           plain_has_parked(settled_can_see(), state);
}

static void stop_if_late(const void *caller) {
    if (interp_may_have_ended() && pass_through_by_rules()) {
        reconcile_stop_if_late(caller);
    }
}

/* What PyEval_RestoreThread(NULL) is to attach. */
static PyThreadState *instead_of_null(const void *caller) {
    if (pass_through_by_rules()) {
        return reconcile_instead_of_null(caller);
    }
    observe_restore_null(caller);
    return NULL;
}

static void end_if_late(const void *caller) {
    if (interp_may_have_ended() && pass_through_by_rules()) {
        reconcile_end_if_late(caller);
    }
}

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

int longway_PyGILState_Ensure(const void *caller) {
    PASS(int, PyGILState_Ensure);
    PyThreadState *own = seen_attached();
    if (own) {
        return record_ensure_again(own, caller);
    }
    stop_if_late(caller);
    observe_ensure(caller);
    return goes_straight() ? real.PyGILState_Ensure() : RULE(ensure)(caller);
}

void longway_PyGILState_Release(int gilstate, const void *caller) {
    PASS_VOID(PyGILState_Release, gilstate);
    PyThreadState *own = gilstate == GILSTATE_LOCKED ? seen_attached() : NULL;
    if (own) {
        record_release_again(own, caller);
        return;
    }
    observe_release(gilstate, caller);
    if (goes_straight() && plain_may_release(gilstate)) {
        real.PyGILState_Release(gilstate);
        return;
    }
    RULE(release)(gilstate, caller);
}

int longway_PyGILState_Check(const void *caller) {
    PASS_IN_HANDLER(PyGILState_Check);
    if (owner_is_settled() || !pass_through_by_rules()) {
        return real.PyGILState_Check ? real.PyGILState_Check() : 0;
    }
    return reconcile_check();
}

PyThreadState *longway_PyGILState_GetThisThreadState(const void *caller) {
    PASS_IN_HANDLER(PyGILState_GetThisThreadState);
    if (owner_is_settled() || !pass_through_by_rules()) {
        return real.PyGILState_GetThisThreadState();
    }
    return reconcile_this_thread_state();
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

PyThreadState *longway_PyEval_SaveThread(const void *caller) {
    if (two_states_save(NULL) || (!owner_is_recorded && lifecycle_save())) {
        return real.PyEval_SaveThread();
    }
    PASS(PyThreadState *, PyEval_SaveThread);
    if (seen_attached()) {
        return record_save(caller);
    }
    observe_save(caller);
    PyThreadState *own = goes_straight() ? settled_attached() : NULL;
    if (own) {
        owner_fast.parked = own;
        return real.PyEval_SaveThread();
    }
    return RULE(save)(caller);
}

void longway_PyEval_RestoreThread(PyThreadState *state, const void *caller) {
    if (two_states_restore(state, false, caller) || (!owner_is_recorded && lifecycle_attach(state))) {
        real.PyEval_RestoreThread(state);
        return;
    }
    PASS_VOID(PyEval_RestoreThread, state);
    if (is_seen_parked(state)) {
        record_attach(state, BLOCK_BY_RESTORE, caller);
        return;
    }
    end_if_late(caller);
    if (!state) {
        state = instead_of_null(caller);
    }
    observe_attach(state, caller);
    if (goes_straight() && settled_has_parked(state)) {
        owner_fast.parked = NULL;
        real.PyEval_RestoreThread(state);
        return;
    }
    RULE(attach)(state, BLOCK_BY_RESTORE, caller);
}

void longway_PyEval_AcquireThread(PyThreadState *state, const void *caller) {
    if (two_states_restore(state, true, caller) || (!owner_is_recorded && lifecycle_attach(state))) {
        real.PyEval_AcquireThread(state);
        return;
    }
    PASS_VOID(PyEval_AcquireThread, state);
    if (is_seen_parked(state)) {
        record_attach(state, BLOCK_BY_ACQUIRE, caller);
        return;
    }
    end_if_late(caller);
    observe_attach(state, caller);
    if (goes_straight() && settled_has_parked(state)) {
        owner_fast.parked = NULL;
        real.PyEval_AcquireThread(state);
        return;
    }
    RULE(attach)(state, BLOCK_BY_ACQUIRE, caller);
}

void longway_PyEval_ReleaseThread(PyThreadState *state, const void *caller) {
    if (state && two_states_save(state)) {
        real.PyEval_ReleaseThread(state);
        return;
    }
    PASS_VOID(PyEval_ReleaseThread, state);
    observe_release_thread(state, caller);
    if (goes_straight() && state && settled_attached() == state) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
        return;
    }
    RULE(release_thread)(state, caller);
}

void longway_PyEval_AcquireLock(const void *caller) {
    PASS_VOID(PyEval_AcquireLock);
    observe_acquire_lock(caller);
    journal_is_on ? record_acquire_lock(caller) : reconcile_acquire_lock(caller);
}

void longway_PyEval_ReleaseLock(const void *caller) {
    PASS_VOID(PyEval_ReleaseLock);
    observe_release_lock(caller);
    journal_is_on ? record_release_lock(caller) : reconcile_release_lock(caller);
}

PyThreadState *longway_PyThreadState_Swap(PyThreadState *state, const void *caller) {
    PASS(PyThreadState *, PyThreadState_Swap, state);
    observe_swap(state, caller);
    return RULE(swap)(state, caller);
}

void *longway_PyThreadState_Ensure(void *guard, const void *caller) {
    PASS(void *, PyThreadState_Ensure, guard);
    if (!pass_through_by_rules()) {
        return real.PyThreadState_Ensure(guard);
    }
    struct token_view before = reconcile_before_token();
    void *token = real.PyThreadState_Ensure(guard);
    reconcile_token_began(before);
    return token;
}

void *longway_PyThreadState_EnsureFromView(void *view, const void *caller) {
    PASS(void *, PyThreadState_EnsureFromView, view);
    if (!pass_through_by_rules()) {
        return real.PyThreadState_EnsureFromView(view);
    }
    struct token_view before = reconcile_before_token();
    void *token = real.PyThreadState_EnsureFromView(view);
    reconcile_token_began(before);
    return token;
}

void longway_PyThreadState_Release(void *token, const void *caller) {
    PASS_VOID(PyThreadState_Release, token);
    if (!pass_through_by_rules()) {
        real.PyThreadState_Release(token);
        return;
    }
    struct token_view before = reconcile_before_token();
    real.PyThreadState_Release(token);
    reconcile_token_ended(before);
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

PyThreadState *longway_PyThreadState_New(PyInterpreterState *interp, const void *caller) {
    PASS(PyThreadState *, PyThreadState_New, interp);
    stop_if_late(caller);
    observe_new(caller);
    PyThreadState *state;
    if (journal_is_on) {
        state = record_new(interp, caller);
    } else if (!lifecycle_new(interp, &state)) { /* reports name who made it: the wrapper has not asked */
        state = reconcile_new(interp);
    }
    leftover_made(state, caller);
    if (!journal_is_on && options.verbosity >= 1) {
        journal_made(JOURNAL_NEW, REAL_INDEX_PyThreadState_New, state, interp, caller);
    }
    return state;
}

void longway_PyThreadState_Clear(PyThreadState *state, const void *caller) {
    PASS_VOID(PyThreadState_Clear, state);
    journal_is_on ? record_clear(state, caller) : reconcile_clear(state);
}

void longway_PyThreadState_Delete(PyThreadState *state, const void *caller) {
    PASS_VOID(PyThreadState_Delete, state);
    observe_delete(state, caller);
    leftover_died(state);
    RULE(delete)(state, caller);
}

void longway_PyThreadState_DeleteCurrent(const void *caller) {
    PASS_VOID(PyThreadState_DeleteCurrent);
    observe_delete_current(caller);
    leftover_died(interp_current());
    RULE(delete_current)(caller);
}
