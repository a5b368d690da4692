#include "rules/final_state.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/real.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/taken.h"

/* The thread that is inside Py_Finalize, as far as seen; 0 if there is none. */
static pid_t finalizing_thread;
static PyThreadState *finalizing_state; /* the state attached when Py_Finalize was called */

static pid_t this_thread(void) {
    return (pid_t)syscall(SYS_gettid);
}

bool final_is_first_thread(void) {
    return this_thread() == getpid();
}

void final_begins(PyThreadState *state) {
    finalizing_state = state;
    __atomic_store_n(&finalizing_thread, this_thread(), __ATOMIC_RELAXED);
}

void final_is_over(void) {
    __atomic_store_n(&finalizing_thread, 0, __ATOMIC_RELAXED);
}

bool final_is_seen_here(void) {
    return this_thread() == __atomic_load_n(&finalizing_thread, __ATOMIC_RELAXED);
}

/* Returns the state that the interpreter began with. CPython puts new states in front of its list. */
static const PyThreadState *oldest_state(void) {
    const PyInterpreterState *interp = interp_main();
    PyThreadState *state = interp ? real.PyInterpreterState_ThreadHead((PyInterpreterState *)interp) : NULL;
    for (PyThreadState *next = state; next; next = real.PyThreadState_Next(next)) {
        state = next;
    }
    return state;
}

/* Returns the finalizing state if the calling thread is the finalizing one, or NULL. Where Py_Finalize was called
 * unseen, by Py_RunMain, the first thread finalizes. Its finalizing state is the one that the interpreter began with,
 * if the thread has saved that away: it may have saved other states before, which their libraries keep. Otherwise it is
 * the state that the thread saved away first, or `current`. */
static PyThreadState *final_state(struct owner *me, PyThreadState *current) {
    pid_t thread = __atomic_load_n(&finalizing_thread, __ATOMIC_RELAXED);
    if (thread) {
        return thread == this_thread() ? finalizing_state : NULL;
    }
    if (!final_is_first_thread()) {
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

enum final_attach final_attach(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                               const void *caller) {
    PyThreadState *final = options_repairs(REPAIR_finalize) ? final_state(me, current) : NULL;
    if (!final || final == state || taken_without_state(me)) {
        return FINAL_ORDINARY;
    }
    if (current) {
        if (interp_is_alive(state)) {
            return FINAL_ORDINARY; /* an exchange, which never meets finalization */
        }
        me->alias = state;
        return FINAL_OVER_ITSELF;
    }
    real.PyEval_RestoreThread(final); /* finalization lets this state through */
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
    tell_repaired(REPAIR_finalize, caller, wanted, final);
    owner_leave(owner_self());
    return FINAL_ATTACHED;
}

PyThreadState *final_alive(struct owner *me, PyThreadState *state, const void *caller) {
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
    tell_repaired(REPAIR_finalize, caller, state, current ? current : final);
    return current ? current : final;
}
