#include "hooks/record.h"

#include "cpython/interp.h"
#include "cpython/pauses.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/check_calls.h"
#include "diagnose/current_thread.h"
#include "diagnose/gil_waits.h"
#include "diagnose/leftover_states.h"
#include "diagnose/lock_order.h"
#include "diagnose/observe.h"
#include "diagnose/stall.h"
#include "diagnose/summary.h"
#include "hooks/gear.h"
#include "hooks/judged.h"
#include "hooks/lifecycle.h"
#include "hooks/lock_binding.h"
#include "journal/journal.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "states/plain.h"

#define CALL(name) ((uint16_t)REAL_INDEX_##name)

/* Returns true if the real function is to be called: the thread needs no rule, or the mode allows none. */
static inline bool goes_without_rules(void) {
    return owner_is_settled() || options.mode != MODE_REPAIR;
}

/* Returns the interpreter of the attached state, or NULL if CPython has no cheap getter for it (before 3.9). */
static inline const void *interp_of_attached(PyThreadState *attached) {
    return attached && real.PyThreadState_GetInterpreter ? real.PyThreadState_GetInterpreter(attached) : NULL;
}

/* Returns true if the thread has a state attached, according both to the journal and to CPython. */
static inline bool has_attached(const struct journal_now *now) {
    return now->phase == JOURNAL_HOLDS && now->state && interp_current() == now->state;
}

/* Returns true if a real PyGILState_Ensure finds its state attached. Where not all is repaired, another one may be attached: then it
 * waits for itself. */
static inline bool only_counts(const struct journal_now *now) {
    bool is_repaired = options.mode == MODE_REPAIR && options.repairs == OPTIONS_ALL_REPAIRS;
    return has_attached(now) && (is_repaired || slot_get() == now->state);
}

void record_needs_gil(uint16_t call, const void *caller) {
    if (lock_order_is_on && !current_thread_has_gil()) {
        lock_binding_look();
        lock_order_takes_gil(call, caller);
    }
}

/* Notes that the thread is about to make a call that attaches `state`. Returns the time for journal_attached; 0 if the thread can't
 * wait. */
static uint64_t begins_wait(uint16_t call, const void *state, const void *caller) {
    bool is_checked = UNLIKELY(lock_order_is_on) && !current_thread_has_gil();
    if (is_checked) {
        record_needs_gil(call, caller);
    }
    uint64_t begun = journal_waits(call, state, caller);
    if (UNLIKELY(interp_is_free_threaded) && pauses_gil_is_off() && !pauses_is_one()) {
        begun = 0; /* there is nothing to wait for, it only takes its time */
    }
    if (is_checked) {
        gil_waits_look(call, caller); /* after the note, which the other thread looks for after its own */
    }
    return begun;
}

/* The stall watch is started with the program's second thread. The only thread may be about to wait for itself,
 * though. */
static void attaches_over_another(void) {
    if (interp_current()) {
        stall_start_now();
    }
}

/* Called after a rule, which may have done something else than the name of the call says. */
static void correct(const void *caller) {
    struct owner *me = owner_self();
    if (me && !owner_is_settled()) {
        journal_correct(owner_attached(me), caller);
    }
}

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

/* ensure_again and release_again: on a settled thread whose state `own` is attached, only the counter changes. */
static int ensure_again(PyThreadState *own, const void *caller) {
    static const struct journal_now unseen = {.phase = JOURNAL_OUTSIDE};
    int gilstate = real.PyGILState_Ensure();
    journal_found(JOURNAL_ENSURE, CALL(PyGILState_Ensure), (uint8_t)gilstate, own, caller, &unseen);
    return gilstate;
}

static void release_again(PyThreadState *own, const void *caller) {
    journal_note_later(JOURNAL_RELEASE, CALL(PyGILState_Release), GILSTATE_LOCKED, own, caller);
    real.PyGILState_Release(GILSTATE_LOCKED);
}

int recorded_PyGILState_Ensure(const void *caller) {
    PyThreadState *own = settled_seen_attached();
    if (own) {
        return ensure_again(own, caller);
    }
    judged_before_ensure(caller);
    struct journal_now now = journal_now();
    bool is_without_rules = goes_without_rules();
    if (UNLIKELY(stall_is_due) && interp_current() != slot_get()) {
        attaches_over_another();
    }
    uint64_t begun = is_without_rules && only_counts(&now) ? 0 : begins_wait(CALL(PyGILState_Ensure), NULL, caller);
    int gilstate = is_without_rules ? real.PyGILState_Ensure() : reconcile_ensure(caller);
    PyThreadState *state = interp_current();
    if (gilstate == GILSTATE_UNLOCKED) {
        observe_made(state);
        journal_attached(JOURNAL_ENSURE, CALL(PyGILState_Ensure), GILSTATE_UNLOCKED, state, interp_of_attached(state),
                         caller, begun);
        check_calls_attached();
    } else {
        journal_found(JOURNAL_ENSURE, CALL(PyGILState_Ensure), GILSTATE_LOCKED, state, caller, &now);
    }
    return gilstate;
}

void recorded_PyGILState_Release(int gilstate, const void *caller) {
    PyThreadState *own = gilstate == GILSTATE_LOCKED ? settled_seen_attached() : NULL;
    if (own) {
        release_again(own, caller);
        return;
    }
    observe_release(gilstate, caller);
    bool is_without_rules = goes_without_rules();
    if (gilstate == GILSTATE_LOCKED) {
        journal_note_later(JOURNAL_RELEASE, CALL(PyGILState_Release), GILSTATE_LOCKED, interp_current(), caller);
    } else {
        journal_detaches(JOURNAL_RELEASE, CALL(PyGILState_Release), GILSTATE_UNLOCKED, interp_current(), caller);
    }
    if (is_without_rules && (!owner_is_settled() || settled_may_release(gilstate))) {
        PyThreadState *before = options.mode != MODE_REPAIR ? slot_get() : NULL;
        real.PyGILState_Release(gilstate);
        if (before && !slot_get()) {
            observe_died(before);
        }
    } else {
        reconcile_release(gilstate, caller);
        correct(caller);
    }
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

static void attach(PyThreadState *state, enum block_by by, const void *caller) {
    uint16_t call = by == BLOCK_BY_ACQUIRE ? CALL(PyEval_AcquireThread) : CALL(PyEval_RestoreThread);
    if (UNLIKELY(stall_is_due)) {
        attaches_over_another();
    }
    uint64_t begun = begins_wait(call, state, caller);
    bool is_parked = settled_has_parked(state);
    if (is_parked) {
        owner_fast.parked = NULL;
    }
    if (!is_parked && options.mode == MODE_REPAIR && !lifecycle_attach(state)) {
        reconcile_attach(state, by, caller);
    } else if (by == BLOCK_BY_ACQUIRE) {
        real.PyEval_AcquireThread(state);
    } else {
        real.PyEval_RestoreThread(state);
    }
    observe_attached(state, caller);
    journal_attached(JOURNAL_ATTACH, call, 0, state, interp_of_attached(state), caller, begun);
    check_calls_attached();
}

/* Returns true if a settled thread attaches its parked state, where nothing can go wrong that would have to be
 * reported. */
static bool is_seen_parked(const PyThreadState *state) {
    return options_repairs(REPAIR_finalize) && !interp_may_have_ended() && plain_has_parked(settled_can_see(), state);
}

void recorded_PyEval_RestoreThread(PyThreadState *state, const void *caller) {
    attach(is_seen_parked(state) ? state : judged_before_restore(state, caller), BLOCK_BY_RESTORE, caller);
}

void recorded_PyEval_AcquireThread(PyThreadState *state, const void *caller) {
    if (!is_seen_parked(state)) {
        judged_before_acquire(state, caller);
    }
    attach(state, BLOCK_BY_ACQUIRE, caller);
}

static PyThreadState *save(const void *caller) {
    if (!settled_seen_attached()) {
        observe_save(caller);
    }
    journal_detaches(JOURNAL_DETACH, CALL(PyEval_SaveThread), 0, interp_current(), caller);
    PyThreadState *own = settled_attached();
    if (own) {
        owner_fast.parked = own;
        return real.PyEval_SaveThread();
    }
    if (options.mode != MODE_REPAIR || lifecycle_save()) {
        return real.PyEval_SaveThread();
    }
    PyThreadState *state = reconcile_save(caller);
    correct(caller);
    return state;
}

PyThreadState *recorded_PyEval_SaveThread(const void *caller) {
    PyThreadState *state = save(caller);
    if (UNLIKELY(lock_order_is_on)) {
        /* ctypes may be about to call a library that it has just opened. Without the GIL, because whoever walks the
         * loader's list in dl_iterate_phdr may wait for the GIL there (threadpoolctl). */
        lock_binding_look();
    }
    return state;
}

void recorded_PyEval_ReleaseThread(PyThreadState *state, const void *caller) {
    observe_release_thread(state, caller);
    journal_detaches(JOURNAL_DETACH, CALL(PyEval_ReleaseThread), 0, state, caller);
    if (state && settled_attached() == state) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
    } else if (options.mode != MODE_REPAIR) {
        real.PyEval_ReleaseThread(state);
    } else {
        reconcile_release_thread(state, caller);
        correct(caller);
    }
}

/* Up to 3.11 the thread holds the GIL without a state after Swap(NULL); from 3.12 on the GIL is given up, so that is
 * noted before the call. */
PyThreadState *recorded_PyThreadState_Swap(PyThreadState *state, const void *caller) {
    observe_swap(state, caller);
    /* Up to 3.11 Swap does not wait for the GIL. */
    uint64_t begun = !state                ? 0
                     : interp_slot_follows ? begins_wait(CALL(PyThreadState_Swap), state, caller)
                                           : journal_waits(CALL(PyThreadState_Swap), state, caller);
    if (!state && interp_slot_follows) {
        journal_detaches(JOURNAL_SWAP, CALL(PyThreadState_Swap), 0, NULL, caller);
    }
    bool is_without_rules = options.mode != MODE_REPAIR || lifecycle_swap(state);
    PyThreadState *previous = is_without_rules ? real.PyThreadState_Swap(state) : reconcile_swap(state, caller);
    check_calls_attached();
    if (state || !interp_slot_follows) {
        journal_attached(JOURNAL_SWAP, CALL(PyThreadState_Swap), 0, state, interp_of_attached(state), caller, begun);
    }
    return previous;
}

void recorded_PyEval_AcquireLock(const void *caller) {
    observe_acquire_lock(caller);
    uint64_t begun = begins_wait(CALL(PyEval_AcquireLock), NULL, caller);
    options.mode == MODE_REPAIR ? reconcile_acquire_lock(caller) : real.PyEval_AcquireLock();
    if (interp_slot_follows && !interp_current()) {
        journal_correct(NULL, caller); /* from 3.12 on nobody holds the GIL without a state: none was taken */
        return;
    }
    journal_attached(JOURNAL_ATTACH, CALL(PyEval_AcquireLock), 0, NULL, NULL, caller, begun);
}

void recorded_PyEval_ReleaseLock(const void *caller) {
    observe_release_lock(caller);
    journal_detaches(JOURNAL_DETACH, CALL(PyEval_ReleaseLock), 0, NULL, caller);
    options.mode == MODE_REPAIR ? reconcile_release_lock(caller) : real.PyEval_ReleaseLock();
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

/* In builds without the GIL, New may ask for a pause of all threads (3.13: for the first state beside the main thread's, and when its
 * table of threads grows). The pause is asked for in the name of the attached state (pauses.h). A thread without one can only be seen
 * by its call. */
PyThreadState *recorded_PyThreadState_New(PyInterpreterState *interp, const void *caller) {
    PyThreadState *state;
    judged_before_new(caller);
    bool may_wait = interp_is_free_threaded && !interp_current();
    if (may_wait) {
        journal_waits(CALL(PyThreadState_New), NULL, caller);
    }
    if (options.mode != MODE_REPAIR) {
        state = real.PyThreadState_New(interp);
    } else if (!lifecycle_new(interp, &state)) {
        state = reconcile_new(interp);
    }
    if (may_wait) {
        journal_correct(NULL, caller);
    }
    observe_made(state);
    summary_count_made();
    journal_made(JOURNAL_NEW, CALL(PyThreadState_New), state, interp, caller);
    leftover_made(state, caller);
    return state;
}

void recorded_PyThreadState_Clear(PyThreadState *state, const void *caller) {
    journal_note(JOURNAL_CLEAR, CALL(PyThreadState_Clear), 0, state, caller);
    if (options.mode != MODE_REPAIR) {
        real.PyThreadState_Clear(state);
    } else if (!lifecycle_clear(state)) {
        reconcile_clear(state);
    }
}

void recorded_PyThreadState_Delete(PyThreadState *state, const void *caller) {
    observe_delete(state, caller);
    leftover_died(state);
    summary_count_deleted();
    journal_note(JOURNAL_DELETE, CALL(PyThreadState_Delete), 0, state, caller);
    if (options.mode != MODE_REPAIR) {
        real.PyThreadState_Delete(state);
    } else if (!lifecycle_delete(state)) {
        reconcile_delete(state, caller);
    }
    observe_died(state);
}

void recorded_PyThreadState_DeleteCurrent(const void *caller) {
    observe_delete_current(caller);
    leftover_died(interp_current());
    summary_count_deleted();
    journal_detaches(JOURNAL_DELETE, CALL(PyThreadState_DeleteCurrent), 0, interp_current(), caller);
    if (options.mode == MODE_REPAIR) {
        if (!lifecycle_delete_current()) {
            reconcile_delete_current(caller);
        }
        correct(caller);
    } else {
        PyThreadState *current = interp_current();
        real.PyThreadState_DeleteCurrent();
        observe_died(current);
    }
}

void recorded_Py_EndInterpreter(PyThreadState *state, const void *caller) {
    observe_end_interpreter(state, caller);
    journal_detaches(JOURNAL_INTERPRETER_ENDS, CALL(Py_EndInterpreter), 0, state, caller);
    options.mode == MODE_REPAIR ? reconcile_end_interpreter(state) : real.Py_EndInterpreter(state);
}

/* ---- interpreters ----------------------------------------------------------------------------------------------- */

void record_new_interpreter(uint16_t call, PyThreadState *state, const void *caller) {
    journal_attached(JOURNAL_INTERPRETER_MADE, call, 0, state, interp_of_attached(state), caller, 0);
}

void record_initializes(uint16_t call, const void *caller) {
    journal_note(JOURNAL_INITIALIZE, call, 0, NULL, caller);
}

void record_initialized(uint16_t call, const void *caller) {
    PyThreadState *state = interp_is_initialized() ? interp_current() : NULL;
    if (state && journal_now().state != state) {
        journal_attached(JOURNAL_INITIALIZE, call, 0, state, interp_of_attached(state), caller, 0);
    }
}

void record_finalizes(uint16_t call, const void *caller) {
    journal_note(JOURNAL_FINALIZE, call, 0, interp_current(), caller);
}

void record_finalized(uint16_t call, const void *caller) {
    journal_detaches(JOURNAL_FINALIZE, call, 1, NULL, caller);
}
