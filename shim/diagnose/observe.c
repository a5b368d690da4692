#include "diagnose/observe.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/head_lock.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/current_thread.h"
#include "diagnose/leftover_states.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/options.h"
#include "states/owner.h"
#include "system/elf.h"
#include "system/loader.h"

/* Returns what this thread has attached, from the rules' own record if rules are in use. */
static PyThreadState *attached(void) {
    struct owner *me = options_look_on() ? NULL : owner_self();
    return me && me->life == owner_life ? owner_attached(me) : current_thread_attached();
}

static void foretell(enum report_kind kind, const void *caller, PyThreadState *state, PyThreadState *other) {
    report_tell(REPORT_FATAL_FOLLOWS, kind, caller, state, other);
}

static void foretell_repair(enum report_grade grade, enum repair repair, const void *caller, PyThreadState *state,
                            PyThreadState *other) {
    if (options_repairs(repair)) {
        report_tell(grade, (enum report_kind)repair, caller, state, other);
    }
}

/* ---- up to 3.11: the slot does not name what is attached -------------------------------------------------------- */

static enum repair kind_of(PyThreadState *state, PyThreadState *in_slot) {
    const PyInterpreterState *interp = interp_of(state);
    if (in_slot ? interp && interp_of(in_slot) != interp : interp && interp != interp_main()) {
        return REPAIR_subinterp;
    }
    return in_slot ? REPAIR_duplicate : REPAIR_moved;
}

/* Up to 3.11: after PyThreadState_Swap(NULL), Py_EndInterpreter, PyEval_AcquireLock. */
static bool holds_gil_only(const struct journal_now *now) {
    return !interp_slot_follows && now->phase == JOURNAL_HOLDS && !now->state && current_thread_is_detached();
}

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

/* True if there has been an attach that the slot does not name. Such an attach does no harm itself, nor does anything
 * that does not use PyGILState_*, so it is reported at the call that would go wrong. But since then a slot may name a
 * state that another thread uses. */
static bool has_slot_missed;

static bool is_used_elsewhere(const PyThreadState *state) {
    struct journal_event event;
    struct journal_thread thread;
    unsigned index;
    return __atomic_load_n(&has_slot_missed, __ATOMIC_RELAXED) && state && journal_find_attach(state, &event, &index) &&
           event.kind != JOURNAL_NEW && journal_read_thread(index, &thread) && !thread.has_ended &&
           thread.tid != (pid_t)syscall(SYS_gettid);
}

/* Called at an attach that the slot does not name. Up to 3.11 debug builds check at each attach whether the slot names
 * another state of the same interpreter. */
static void slot_misses(PyThreadState *state, PyThreadState *in_slot, const void *caller) {
    __atomic_store_n(&has_slot_missed, true, __ATOMIC_RELAXED);
    if (interp_is_debug && !interp_slot_follows && in_slot && interp_of(in_slot) == interp_of(state)) {
        foretell_repair(REPORT_FATAL_FOLLOWS, kind_of(state, in_slot), caller, state, in_slot);
    }
}

/* For an Ensure with nothing attached: if the thread detached another state than the slot names, Ensure uses the
 * slot's. */
static void observe_ensure_detached(const struct journal_now *now, const void *caller) {
    PyThreadState *in_slot = slot_get(), *saved = (PyThreadState *)now->state;
    bool has_saved = now->phase == JOURNAL_OUTSIDE && saved &&
                     (now->call == REAL_INDEX_PyEval_SaveThread || now->call == REAL_INDEX_PyEval_ReleaseThread);
    if (is_used_elsewhere(in_slot)) {
        foretell_repair(REPORT_WOULD_REPAIR, REPAIR_moved, caller, in_slot, NULL);
    } else if (!has_saved || saved == in_slot) {
        return;
    } else if (!in_slot) {
        foretell_repair(REPORT_WOULD_REPAIR, REPAIR_moved, caller, saved, NULL);
    } else if (real.PyThreadState_GetInterpreter && interp_of(saved) != interp_of(in_slot)) {
        foretell_repair(REPORT_WOULD_REPAIR, REPAIR_subinterp, caller, saved, in_slot);
    }
}

/* The thread that is inside Py_Finalize; 0: none that was seen to call it. */
static pid_t finalizer;

/* Reports an attach while the interpreter finalizes. Up to 3.13 CPython ends such a thread, later it parks it. Threads
 * of CPython's own (daemons) are meant to end like that. If a thread is ended inside C++ code, that is reported when it
 * happens. */
static __attribute__((noinline, cold)) void look_out(const void *caller, PyThreadState *state, bool attaches) {
    current_thread_note_call();
    if (!attaches || !interp_is_finalizing() || !current_thread_is_foreign()) {
        return;
    }
    pid_t me = (pid_t)syscall(SYS_gettid), final = __atomic_load_n(&finalizer, __ATOMIC_RELAXED);
    if (me != (final ? final : getpid())) {
        report_tell(REPORT_WARNING, REPORT_late, caller, state, NULL);
    }
}

/* Does nothing if the repair handles it. */
static inline void observe_late(const void *caller, PyThreadState *state, bool attaches) {
    if (options.mode != MODE_REPAIR || !options_repairs(REPAIR_finalize)) {
        look_out(caller, state, attaches);
    }
}

void observe_ensure(const void *caller) {
    observe_late(caller, NULL, true);
    if (!interp_is_initialized() && !interp_is_finalizing()) {
        foretell(REPORT_ensure_uninitialized, caller, NULL, NULL);
        return;
    }
    if (!options_look_on()) {
        return;
    }
    PyThreadState *current = current_thread_attached(), *in_slot = slot_get();
    struct journal_now now = journal_now();
    if (current && current != in_slot) {
        foretell_repair(real.PyThreadState_GetUnchecked ? REPORT_FATAL_FOLLOWS : REPORT_DEADLOCK_FOLLOWS,
                        kind_of(current, in_slot), caller, current, in_slot);
    } else if (holds_gil_only(&now)) {
        foretell_repair(REPORT_DEADLOCK_FOLLOWS, REPAIR_held, caller, NULL, NULL);
    } else if (!current) {
        observe_ensure_detached(&now, caller);
    }
}

void observe_release(int gilstate, const void *caller) {
    PyThreadState *in_slot = slot_get();
    PyThreadState *current = attached();
    (void)gilstate;
    if (!current && !in_slot) {
        foretell(REPORT_release_without_ensure, caller, NULL, NULL);
    } else if (!current && interp_current() != in_slot) {
        foretell(REPORT_release_detached, caller, in_slot, NULL);
    } else if (options_look_on() && current && current != in_slot) {
        foretell_repair(REPORT_FATAL_FOLLOWS, kind_of(current, in_slot), caller, current, in_slot);
    }
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

void observe_save(const void *caller) {
    observe_late(caller, NULL, false);
    if (current_thread_is_detached()) {
        foretell(REPORT_save_detached, caller, NULL, NULL);
    }
}

void observe_attach(PyThreadState *state, const void *caller) {
    leftover_attached(state);
    observe_late(caller, state, true);
    if (!state) {
        foretell(REPORT_attach_null, caller, NULL, NULL);
        return;
    }
    if (!options_look_on()) {
        return;
    }
    PyThreadState *current = current_thread_attached(), *in_slot = slot_get();
    struct journal_now now = journal_now();
    if (current || holds_gil_only(&now)) {
        if (interp_has_gil()) {
            foretell_repair(real.PyThreadState_GetUnchecked ? REPORT_FATAL_FOLLOWS : REPORT_DEADLOCK_FOLLOWS,
                            REPAIR_held, caller, state, current);
        }
    } else if (!interp_slot_follows && in_slot != state && real.Py_IsInitialized()) {
        /* 2.7 lets threads of its own go on when it has ended, and their slot is no more. */
        slot_misses(state, in_slot, caller);
    }
}

void observe_restore_null(const void *caller) {
    PyThreadState *own = options_look_on() && current_thread_is_detached() ? slot_get() : NULL;
    if (own) {
        foretell_repair(REPORT_FATAL_FOLLOWS, REPAIR_null, caller, own, NULL);
    }
}

void observe_attached(PyThreadState *state, const void *caller) {
    if (options_look_on() && interp_slot_follows && state && interp_current() == state && slot_get() != state) {
        slot_misses(state, slot_get(), caller);
    }
}

void observe_release_thread(PyThreadState *state, const void *caller) {
    PyThreadState *current = interp_slot_follows ? interp_current() : attached();
    const struct owner *me = owner_self();
    if (me && state && me->alias == state) {
        return; /* freed by finalization: the rules have the finalizing one stand for it */
    }
    if (!state || current_thread_is_detached() || (current && current != state)) {
        foretell(REPORT_release_wrong_state, caller, state, current);
    }
}

/* They access the attached state, which is missing here: AcquireLock from 3.0 on, ReleaseLock from 3.9 on. */
void observe_acquire_lock(const void *caller) {
    if (options_look_on() && real.Py_FinalizeEx && !interp_current()) {
        foretell_repair(REPORT_FATAL_FOLLOWS, REPAIR_oldlock, caller, NULL, NULL);
    }
}

void observe_release_lock(const void *caller) {
    if (options_look_on() && real.PyInterpreterState_Get && !interp_current()) {
        foretell_repair(REPORT_FATAL_FOLLOWS, REPAIR_oldlock, caller, NULL, NULL);
    }
}

void observe_swap(PyThreadState *state, const void *caller) {
    leftover_attached(state);
    if (!options_look_on() || !state || interp_slot_follows || state == interp_current()) {
        return;
    }
    PyThreadState *in_slot = slot_get();
    if (state != in_slot) {
        slot_misses(state, in_slot, caller);
    }
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

void observe_delete(PyThreadState *state, const void *caller) {
    if (state && attached() == state) {
        foretell(REPORT_delete_attached, caller, state, NULL);
    }
}

void observe_delete_current(const void *caller) {
    if (current_thread_is_detached()) {
        foretell(REPORT_delete_detached, caller, NULL, NULL);
    }
}

void observe_in_child(void) {
    if (head_lock_was_left()) {
        foretell_repair(REPORT_WARNING, REPAIR_fork, head_lock_taker(), NULL, NULL);
    }
}

void observe_end_interpreter(PyThreadState *state, const void *caller) {
    if (current_thread_is_detached() || (interp_slot_follows && interp_current() != state)) {
        foretell(REPORT_end_detached, caller, state, interp_current());
    }
}

void observe_finalizes(bool is_inside) {
    __atomic_store_n(&finalizer, is_inside ? (pid_t)syscall(SYS_gettid) : 0, __ATOMIC_RELAXED);
}

void observe_finalize(const void *caller) {
    struct journal_now now = journal_now();
    if (options_look_on() && interp_is_initialized() && current_thread_is_detached() && !holds_gil_only(&now)) {
        foretell_repair(REPORT_FATAL_FOLLOWS, REPAIR_finalize, caller, NULL, NULL);
    }
}

/* ---- what libraries file ---------------------------------------------------------------------------------------- */

/* The states that died last. An entry is removed when its address is used again. */
enum { DEAD_COUNT = 64 };
static const void *dead[DEAD_COUNT];
static unsigned dead_next;

void observe_died(const PyThreadState *state) {
    leftover_died(state);
    if (options_look_on() && state) {
        unsigned place = __atomic_fetch_add(&dead_next, 1, __ATOMIC_RELAXED) % DEAD_COUNT;
        __atomic_store_n(&dead[place], (const void *)state, __ATOMIC_RELAXED);
    }
}

void observe_made(const PyThreadState *state) {
    for (unsigned i = 0; options_look_on() && state && i < DEAD_COUNT; i++) {
        const void *expected = state;
        __atomic_compare_exchange_n(&dead[i], &expected, NULL, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
}

/* The module that has just found nothing under its key; 0: none. */
static __thread uintptr_t empty_handed __attribute__((tls_model("initial-exec")));

/* Returns the module if it makes a second state when it finds nothing. pybind11 from 2.3 on asks CPython first, so a
 * state that it makes later is another matter: returns 0. */
static uintptr_t object_that_makes_second(const void *caller) {
    struct elf_object object;
    bool asks = elf_find_by_address(caller, &object) && elf_imports(&object, "PyGILState_GetThisThreadState");
    return asks ? 0 : loader_object_of(caller);
}

void observe_key_answers(const void *value, const void *caller) {
    if (!options_look_on()) {
        return;
    }
    empty_handed = value ? 0 : object_that_makes_second(caller);
    for (unsigned i = 0; value && i < DEAD_COUNT; i++) {
        if (__atomic_load_n(&dead[i], __ATOMIC_RELAXED) == value) {
            foretell_repair(REPORT_WOULD_REPAIR, REPAIR_cached, caller, (PyThreadState *)value, NULL);
        }
    }
}

/* A library that has found nothing under its key makes a state although the thread has one: pybind11 up to 2.2. */
void observe_new(const void *caller) {
    PyThreadState *own = options_look_on() && empty_handed ? slot_get() : NULL;
    if (own && empty_handed == loader_object_of(caller)) {
        foretell_repair(REPORT_WOULD_REPAIR, REPAIR_share, caller, NULL, own);
    }
    empty_handed = 0;
}
