#include "hooks/judged.h"

#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "diagnose/observe.h"
#include "hooks/gear.h"
#include "hooks/lifecycle.h"
#include "hooks/pass_through.h"
#include "hooks/record.h"
#include "journal/journal.h"
#include "rules/reconcile.h"
#include "states/owner.h"
#include "states/plain.h"

/* Returns true if the thread needs no rule. The wrapper has not found it plain if it is not known where CPython keeps
 * the attached state (from 3.12 on, if libpython was opened late); then the functions here ask CPython for it. */
static inline bool is_settled_unrecorded(void) {
    return owner_is_settled() && !journal_is_on;
}

/* ---- before the rule -------------------------------------------------------------------------------------------- */

static void stop_if_late(const void *caller) {
    if (interp_may_have_ended() && pass_through_by_rules()) {
        reconcile_stop_if_late(caller);
    }
}

static void end_if_late(const void *caller) {
    if (interp_may_have_ended() && pass_through_by_rules()) {
        reconcile_end_if_late(caller);
    }
}

/* Returns what PyEval_RestoreThread(NULL) is to attach, or NULL. */
static PyThreadState *instead_of_null(const void *caller) {
    if (pass_through_by_rules()) {
        return reconcile_instead_of_null(caller);
    }
    observe_restore_null(caller);
    return NULL;
}

void judged_before_ensure(const void *caller) {
    stop_if_late(caller);
    observe_ensure(caller);
}

void judged_before_new(const void *caller) {
    stop_if_late(caller);
    observe_new(caller);
}

PyThreadState *judged_before_restore(PyThreadState *state, const void *caller) {
    end_if_late(caller);
    PyThreadState *attached = state ? state : instead_of_null(caller);
    observe_attach(attached, caller);
    return attached;
}

void judged_before_acquire(PyThreadState *state, const void *caller) {
    end_if_late(caller);
    observe_attach(state, caller);
}

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

int judged_PyGILState_Ensure(const void *caller) {
    NOTE_CALL(PyGILState_Ensure);
    judged_before_ensure(caller);
    return is_settled_unrecorded() ? real.PyGILState_Ensure() : reconcile_ensure(caller);
}

void judged_PyGILState_Release(int gilstate, const void *caller) {
    NOTE_CALL(PyGILState_Release);
    observe_release(gilstate, caller);
    if (is_settled_unrecorded() && settled_may_release(gilstate)) {
        real.PyGILState_Release(gilstate);
        return;
    }
    reconcile_release(gilstate, caller);
}

int judged_PyGILState_Check(const void *caller) {
    PASS_IN_HANDLER(PyGILState_Check);
    if (owner_is_settled() || !pass_through_by_rules()) {
        return real.PyGILState_Check ? real.PyGILState_Check() : 0;
    }
    return reconcile_check();
}

PyThreadState *judged_PyGILState_GetThisThreadState(const void *caller) {
    PASS_IN_HANDLER(PyGILState_GetThisThreadState);
    if (owner_is_settled() || !pass_through_by_rules()) {
        return real.PyGILState_GetThisThreadState();
    }
    return reconcile_this_thread_state();
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

PyThreadState *judged_PyEval_SaveThread(const void *caller) {
    NOTE_CALL(PyEval_SaveThread);
    observe_save(caller);
    PyThreadState *own = is_settled_unrecorded() ? settled_attached() : NULL;
    if (own) {
        owner_fast.parked = own;
        return real.PyEval_SaveThread();
    }
    return reconcile_save(caller);
}

void judged_PyEval_RestoreThread(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyEval_RestoreThread);
    state = judged_before_restore(state, caller);
    if (is_settled_unrecorded() && settled_has_parked(state)) {
        owner_fast.parked = NULL;
        real.PyEval_RestoreThread(state);
        return;
    }
    reconcile_attach(state, BLOCK_BY_RESTORE, caller);
}

void judged_PyEval_AcquireThread(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyEval_AcquireThread);
    judged_before_acquire(state, caller);
    if (is_settled_unrecorded() && settled_has_parked(state)) {
        owner_fast.parked = NULL;
        real.PyEval_AcquireThread(state);
        return;
    }
    reconcile_attach(state, BLOCK_BY_ACQUIRE, caller);
}

void judged_PyEval_ReleaseThread(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyEval_ReleaseThread);
    observe_release_thread(state, caller);
    if (is_settled_unrecorded() && state && settled_attached() == state) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
        return;
    }
    reconcile_release_thread(state, caller);
}

void judged_PyEval_AcquireLock(const void *caller) {
    NOTE_CALL(PyEval_AcquireLock);
    observe_acquire_lock(caller);
    reconcile_acquire_lock(caller);
}

void judged_PyEval_ReleaseLock(const void *caller) {
    NOTE_CALL(PyEval_ReleaseLock);
    observe_release_lock(caller);
    reconcile_release_lock(caller);
}

PyThreadState *judged_PyThreadState_Swap(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyThreadState_Swap);
    observe_swap(state, caller);
    return reconcile_swap(state, caller);
}

void *judged_PyThreadState_Ensure(void *guard, const void *caller) {
    NOTE_CALL(PyThreadState_Ensure);
    record_needs_gil(REAL_INDEX_PyThreadState_Ensure, caller);
    if (!pass_through_by_rules()) {
        return real.PyThreadState_Ensure(guard);
    }
    struct token_view before = reconcile_before_token();
    void *token = real.PyThreadState_Ensure(guard);
    reconcile_token_began(before);
    return token;
}

void *judged_PyThreadState_EnsureFromView(void *view, const void *caller) {
    NOTE_CALL(PyThreadState_EnsureFromView);
    record_needs_gil(REAL_INDEX_PyThreadState_EnsureFromView, caller);
    if (!pass_through_by_rules()) {
        return real.PyThreadState_EnsureFromView(view);
    }
    struct token_view before = reconcile_before_token();
    void *token = real.PyThreadState_EnsureFromView(view);
    reconcile_token_began(before);
    return token;
}

void judged_PyThreadState_Release(void *token, const void *caller) {
    NOTE_CALL(PyThreadState_Release);
    if (!pass_through_by_rules()) {
        real.PyThreadState_Release(token);
        return;
    }
    struct token_view before = reconcile_before_token();
    real.PyThreadState_Release(token);
    reconcile_token_ended(before);
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

PyThreadState *judged_PyThreadState_New(PyInterpreterState *interp, const void *caller) {
    NOTE_CALL(PyThreadState_New);
    PyThreadState *state;
    judged_before_new(caller);
    if (!lifecycle_new(interp, &state)) { /* that gear does not try where reports name the maker */
        state = reconcile_new(interp);
    }
    leftover_made(state, caller);
    if (options.verbosity >= 1) {
        journal_made(JOURNAL_NEW, REAL_INDEX_PyThreadState_New, state, interp, caller);
    }
    return state;
}

void judged_PyThreadState_Clear(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyThreadState_Clear);
    reconcile_clear(state);
}

void judged_PyThreadState_Delete(PyThreadState *state, const void *caller) {
    NOTE_CALL(PyThreadState_Delete);
    observe_delete(state, caller);
    leftover_died(state);
    reconcile_delete(state, caller);
}

void judged_PyThreadState_DeleteCurrent(const void *caller) {
    NOTE_CALL(PyThreadState_DeleteCurrent);
    observe_delete_current(caller);
    leftover_died(interp_current());
    reconcile_delete_current(caller);
}
