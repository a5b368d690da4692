#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/real.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "states/taken.h"
#include "system/elf.h"
#include "system/late.h"
#include "system/unwinding.h"

/* Thread that is inside Py_Finalize, as far as seen; 0: none. */
static pid_t finalizing_thread;
static PyThreadState *finalizing_state; /* attached when it was called */

static pid_t this_thread(void) {
    return (pid_t)syscall(SYS_gettid);
}

static bool is_first_thread(void) {
    return this_thread() == getpid();
}

/* ---- Py_Finalize and what comes before it ------------------------------------------------------------------------- */

/* Attaches this thread's own state where the caller goes on as if it were attached. */
static PyThreadState *attach_own_state(struct owner *me, const void *caller) {
    PyThreadState *own = settle_own_state(me);
    PyThreadState *state = own ? own : owner_last_saved(me);
    if (state) {
        reconcile_attach(state, BLOCK_BY_RESTORE, caller);
    } else {
        real.PyGILState_Ensure();
    }
    report_repair_of(REPAIR_finalize, caller, state ? state : interp_current(), NULL);
    return state;
}

/* Up to 3.11 a thread that has no state may run under another one's, which waits meanwhile. */
static bool may_borrow(struct owner *me) {
    return !interp_slot_follows && interp_current() && !settle_own_state(me) && !owner_last_saved(me);
}

static bool lacks_state(struct owner *me) {
    return me && interp_is_initialized() && !owner_attached(me) && !taken_without_state(me) && !may_borrow(me) &&
           options_repairs(REPAIR_finalize);
}

void reconcile_before_finalize(const void *caller) {
    struct owner *me = owner_enter();
    if (lacks_state(me)) {
        attach_own_state(me, caller);
    } else {
        owner_leave(me);
    }
    reconcile_free_legacy();
    finalizing_state = interp_current();
    __atomic_store_n(&finalizing_thread, this_thread(), __ATOMIC_RELAXED);
}

void reconcile_after_finalize(void) {
    __atomic_store_n(&finalizing_thread, 0, __ATOMIC_RELAXED);
    interp_is_over = !interp_is_initialized();
    interp_unwatch_end();
    reconcile_forget_interpreter(); /* moves the epoch on: every thread looks anew */
}

void reconcile_before_state_is_needed(const void *caller) {
    struct owner *me = owner_enter();
    if (!lacks_state(me) || !owner_last_saved(me)) {
        owner_leave(me);
        return;
    }
    PyThreadState *state = attach_own_state(me, caller);
    me = owner_enter();
    if (me && state) {
        me->loan = state;
    }
}

/* ---- the finalizing thread attaches another state ------------------------------------------------------------------ */

/* The state that the interpreter began with: new ones are put in front. */
static const PyThreadState *oldest_state(void) {
    const PyInterpreterState *interp = interp_main();
    PyThreadState *state = interp ? real.PyInterpreterState_ThreadHead((PyInterpreterState *)interp) : NULL;
    for (PyThreadState *next = state; next; next = real.PyThreadState_Next(next)) {
        state = next;
    }
    return state;
}

/* The state that finalizes, if the calling thread is the one; NULL otherwise. Where Py_Finalize was called unseen, by
 * Py_RunMain, it is the first thread's, and the state the one that it began with, or else what it has saved away first: it
 * may have saved others before, which their libraries keep. */
static PyThreadState *final_state(struct owner *me, PyThreadState *current) {
    pid_t thread = __atomic_load_n(&finalizing_thread, __ATOMIC_RELAXED);
    if (thread) {
        return thread == this_thread() ? finalizing_state : NULL;
    }
    if (!is_first_thread()) {
        return NULL;
    }
    const PyThreadState *oldest = oldest_state();
    const struct block *oldest_block = oldest ? blocks_find(&me->blocks, BLOCK_DETACH, oldest) : NULL;
    if (oldest_block) {
        return oldest_block->state;
    }
    const struct block *block = me->blocks.items;
    for (uint32_t i = 0; i < me->blocks.count; i++) {
        if (block[i].kind == BLOCK_DETACH) {
            return block[i].state;
        }
    }
    return current;
}

bool reconcile_attach_while_finalizing(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                                       const void *caller) {
    PyThreadState *final = options_repairs(REPAIR_finalize) ? final_state(me, current) : NULL;
    if (!final || final == state || taken_without_state(me)) {
        return false;
    }
    if (current) {
        if (interp_is_alive(state)) {
            return false; /* an exchange, which never meets finalization */
        }
        me->alias = state;
        reconcile_attach_over(me, current, current, by, caller);
        return true;
    }
    real.PyEval_RestoreThread(final); /* this one may */
    me = owner_self();
    const PyThreadState *wanted = state;
    bool is_alive = interp_is_alive(state);
    if (!is_alive) {
        me->alias = state;
        state = final;
    } else if (interp_slot_follows) {
        owner_take(me, state);
    } else {
        settle_slot(me, state, caller);
    }
    nesting_begin(me, state, by);
    me->attached = state;
    if (is_alive) {
        real.PyThreadState_Swap(state);
        settle_after_attach(state, caller);
    }
    report_repair_of(REPAIR_finalize, caller, wanted, final);
    owner_leave(owner_self());
    return true;
}

PyThreadState *reconcile_alive_while_finalizing(struct owner *me, PyThreadState *state, const void *caller) {
    PyThreadState *current = owner_attached(me);
    PyThreadState *final = options_repairs(REPAIR_finalize) ? final_state(me, current) : NULL;
    if (!final || final == state || taken_without_state(me)) {
        return state;
    }
    if (!current) {
        real.PyEval_RestoreThread(final);
    }
    bool is_alive = interp_is_alive(state);
    if (!current) {
        real.PyEval_SaveThread();
    }
    if (is_alive) {
        return state;
    }
    report_repair_of(REPAIR_finalize, caller, state, current ? current : final);
    return current ? current : final;
}

/* ---- threads that come too late ----------------------------------------------------------------------------------- */

/* Ends the calling thread, and runs no more of its code: no C++ destructor, no clean-up handler, no key's destructor. What
 * it holds and what is on its stack stay as they are until somebody joins it. Who does goes on, since the kernel itself wakes
 * the joiner (CLONE_CHILD_CLEARTID). glibc goes on counting the thread, and does not free the stack of a detached one; it
 * looks at the kernel's id of a thread, which is 0 now, before it signals one (setuid, pthread_kill). Python 3.14 parks such
 * threads for good instead, so that a C++ static's destructor that joins one never ends (pybind11 #1446). */
static _Noreturn void end_without_unwinding(const void *caller) {
    report_repair(REPAIR_finalize, caller);
    journal_thread_vanishes();
    for (;;) {
        syscall(SYS_exit, 0);
    }
}

static bool is_late(void) {
    return interp_has_ended() && options_repairs(REPAIR_finalize) && !is_first_thread();
}

void reconcile_stop_if_late(const void *caller) {
    if (is_late()) {
        end_without_unwinding(caller);
    }
}

static bool is_inside(const void *address) {
    struct elf_object object;
    return interp_contains(address) ||
           (elf_find_by_address(address, &object) && elf_find_export(&object, "gilshim_version"));
}

/* CPython's only call of it, in PyThread_exit_thread. A program that contains CPython may have others of its own. */
static bool is_thread_exit_of_cpython(const void *caller) {
    struct elf_object object;
    size_t offset;
    const void *call = (const char *)caller - 1; /* it does not return: behind it may be another function */
    if (!interp_contains(call) || !elf_find_by_address(call, &object)) {
        return false;
    }
    const char *function = elf_function_at(&object, call, &offset);
    return real_status.binding != REAL_STATIC || (function && strcmp(function, "PyThread_exit_thread") == 0);
}

static void unless_it_can_be_unwound(const void *caller) {
    const void *outside = NULL;
    if (unwind_meets_code(is_inside, &outside)) {
        end_without_unwinding(outside ? outside : caller);
    }
}

/* Up to 3.8 every Python thread ends by pthread_exit; one that meets finalization does up to 3.13. A thread that can be
 * unwound is let go: the host may join it. The first thread is never ended so, since its end
 * may be what the process waits for, nor is the one that finalizes. */
void reconcile_before_pthread_exit(const void *caller) {
    const void *outside = NULL;
    bool is_at_end = interp_is_finalizing() || !interp_is_initialized();
    if (!is_at_end || !options_repairs(REPAIR_finalize) || is_first_thread() ||
        this_thread() == __atomic_load_n(&finalizing_thread, __ATOMIC_RELAXED) || !is_thread_exit_of_cpython(caller)) {
        return;
    }
    if (options.mode == MODE_REPAIR) {
        unless_it_can_be_unwound(caller);
    } else if (unwind_meets_code(is_inside, &outside)) {
        report_tell(REPORT_WOULD_REPAIR, (enum report_kind)REPAIR_finalize, outside ? outside : caller, NULL, NULL);
    }
}

void reconcile_end_if_late(const void *caller) {
    if (is_late()) {
        unless_it_can_be_unwound(caller);
        late_real_pthread_exit(NULL);
    }
}
