/* The exported wrappers. Each does one of two things: where the thread is plain (it has only ever had one state) it
 * jumps to the real function, or does the little that is to be noted (lifecycle.h); otherwise it takes the long way
 * (longway.h), to the rules.
 *
 * They are defined under hidden names and exported as aliases: a reference to PyGILState_Ensure in here would be bound
 * to whatever comes first in the process, an executable that contains CPython for one. */
#include "hooks/hooks.h"

#include <pthread.h>
#include <stdbool.h>

#include "cpython/counter.h"
#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "hooks/binding.h"
#include "hooks/lifecycle.h"
#include "hooks/longway.h"
#include "process/options.h"
#include "states/plain.h"
#include "system/dlsym_hook.h"

#define CALLER __builtin_return_address(0)

#define API(type, name, parameters, arguments) \
    __attribute__((visibility("default"), alias("gilshim_" #name))) type name parameters;
#include "api.def"
#undef API

const void *const real_wrappers[REAL_API_COUNT] = {
#define API(type, name, parameters, arguments) (const void *)gilshim_##name,
#include "api.def"
#undef API
};

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

int gilshim_PyGILState_Ensure(void) {
    PyThreadState *state = plain_counted();
    if (LIKELY(state != NULL)) {
        ++*counter_of(state);
        return GILSTATE_LOCKED;
    }
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_Ensure();
    }
    return longway_PyGILState_Ensure(CALLER);
}

void gilshim_PyGILState_Release(int gilstate) {
    PyThreadState *state = gilstate == GILSTATE_LOCKED ? plain_counted() : NULL;
    if (LIKELY(state && *counter_of(state) > 1)) { /* the last one frees it */
        --*counter_of(state);
        return;
    }
    if (LIKELY(owner_is_plain()) && LIKELY(plain_may_release(gilstate))) {
        real.PyGILState_Release(gilstate);
        return;
    }
    longway_PyGILState_Release(gilstate, CALLER);
}

int gilshim_PyGILState_Check(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_Check ? real.PyGILState_Check() : 0;
    }
    return longway_PyGILState_Check(CALLER);
}

PyThreadState *gilshim_PyGILState_GetThisThreadState(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_GetThisThreadState();
    }
    return longway_PyGILState_GetThisThreadState(CALLER);
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

PyThreadState *gilshim_PyEval_SaveThread(void) {
    PyThreadState *state = plain_attached(owner_is_plain());
    if (LIKELY(state != NULL)) {
        owner_fast.parked = state;
        return real.PyEval_SaveThread();
    }
    return longway_PyEval_SaveThread(CALLER);
}

void gilshim_PyEval_RestoreThread(PyThreadState *state) {
    if (LIKELY(plain_has_parked(owner_is_plain(), state))) {
        owner_fast.parked = NULL;
        real.PyEval_RestoreThread(state);
        return;
    }
    longway_PyEval_RestoreThread(state, CALLER);
}

void gilshim_PyEval_AcquireThread(PyThreadState *state) {
    if (LIKELY(plain_has_parked(owner_is_plain(), state))) {
        owner_fast.parked = NULL;
        real.PyEval_AcquireThread(state);
        return;
    }
    longway_PyEval_AcquireThread(state, CALLER);
}

void gilshim_PyEval_ReleaseThread(PyThreadState *state) {
    if (LIKELY(state && plain_attached(owner_is_plain()) == state)) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
        return;
    }
    longway_PyEval_ReleaseThread(state, CALLER);
}

void gilshim_PyEval_AcquireLock(void) {
    longway_PyEval_AcquireLock(CALLER);
}

void gilshim_PyEval_ReleaseLock(void) {
    longway_PyEval_ReleaseLock(CALLER);
}

PyThreadState *gilshim_PyThreadState_Swap(PyThreadState *state) {
    return !owner_is_recorded && lifecycle_swap(state) ? real.PyThreadState_Swap(state)
                                                       : longway_PyThreadState_Swap(state, CALLER);
}

void *gilshim_PyThreadState_Ensure(void *guard) {
    return longway_PyThreadState_Ensure(guard, CALLER);
}

void *gilshim_PyThreadState_EnsureFromView(void *view) {
    return longway_PyThreadState_EnsureFromView(view, CALLER);
}

void gilshim_PyThreadState_Release(void *token) {
    longway_PyThreadState_Release(token, CALLER);
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

PyThreadState *gilshim_PyThreadState_New(PyInterpreterState *interp) {
    PyThreadState *made;
    bool is_told = leftover_is_on || options.verbosity >= 1; /* who has made it */
    if (!owner_is_recorded && !is_told && lifecycle_new(interp, &made)) {
        return made;
    }
    return longway_PyThreadState_New(interp, CALLER);
}

void gilshim_PyThreadState_Clear(PyThreadState *state) {
    if (owner_is_recorded || !lifecycle_clear(state)) {
        longway_PyThreadState_Clear(state, CALLER);
    }
}

void gilshim_PyThreadState_Delete(PyThreadState *state) {
    if (owner_is_recorded || !lifecycle_delete(state)) {
        longway_PyThreadState_Delete(state, CALLER);
    }
}

void gilshim_PyThreadState_DeleteCurrent(void) {
    if (owner_is_recorded || !lifecycle_delete_current()) {
        longway_PyThreadState_DeleteCurrent(CALLER);
    }
}

void gilshim_Py_Initialize(void) {
    longway_Py_Initialize(CALLER);
}

void gilshim_Py_InitializeEx(int install_handlers) {
    longway_Py_InitializeEx(install_handlers, CALLER);
}

PyStatus gilshim_Py_InitializeFromConfig(const void *config) {
    return longway_Py_InitializeFromConfig(config, CALLER);
}

int gilshim_Py_InitializeFromInitConfig(void *config) {
    return longway_Py_InitializeFromInitConfig(config, CALLER);
}

void gilshim_Py_Finalize(void) {
    longway_Py_Finalize(CALLER);
}

int gilshim_Py_FinalizeEx(void) {
    return longway_Py_FinalizeEx(CALLER);
}

PyThreadState *gilshim_Py_NewInterpreter(void) {
    return longway_Py_NewInterpreter(CALLER);
}

PyStatus gilshim_Py_NewInterpreterFromConfig(PyThreadState **state, const void *config) {
    return longway_Py_NewInterpreterFromConfig(state, config, CALLER);
}

void gilshim_Py_EndInterpreter(PyThreadState *state) {
    longway_Py_EndInterpreter(state, CALLER);
}

void gilshim_PyOS_BeforeFork(void) {
    longway_PyOS_BeforeFork(CALLER);
}

void gilshim_PyOS_AfterFork_Parent(void) {
    longway_PyOS_AfterFork_Parent(CALLER);
}

void gilshim_PyOS_AfterFork_Child(void) {
    longway_PyOS_AfterFork_Child(CALLER);
}

void gilshim_PyOS_AfterFork(void) {
    longway_PyOS_AfterFork(CALLER);
}

/* ---- libraries' keys -------------------------------------------------------------------------------------------- */

int gilshim_PyThread_tss_set(Py_tss_t *key, void *value) {
    return longway_PyThread_tss_set(key, value, CALLER);
}

void *gilshim_PyThread_tss_get(Py_tss_t *key) {
    if (LIKELY(owner_is_plain())) {
        void *value = real.PyThread_tss_get(key);
        if (LIKELY(plain_is_own(value))) {
            return value;
        }
    }
    return longway_PyThread_tss_get(key, CALLER);
}

void gilshim_PyThread_tss_delete(Py_tss_t *key) {
    longway_PyThread_tss_delete(key, CALLER);
}

void gilshim_PyThread_tss_free(Py_tss_t *key) {
    longway_PyThread_tss_free(key, CALLER);
}

int gilshim_PyThread_set_key_value(int key, void *value) {
    return longway_PyThread_set_key_value(key, value, CALLER);
}

void *gilshim_PyThread_get_key_value(int key) {
    if (LIKELY(owner_is_plain())) {
        void *value = real.PyThread_get_key_value(key);
        if (LIKELY(plain_is_own(value))) {
            return value;
        }
    }
    return longway_PyThread_get_key_value(key, CALLER);
}

void gilshim_PyThread_delete_key_value(int key) {
    longway_PyThread_delete_key_value(key, CALLER);
}

void gilshim_PyThread_delete_key(int key) {
    longway_PyThread_delete_key(key, CALLER);
}

/* ---- calls that crash without a state --------------------------------------------------------------------------- */

void *gilshim_PyEval_GetBuiltins(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyEval_GetBuiltins();
    }
    return longway_PyEval_GetBuiltins(CALLER);
}

PyInterpreterState *gilshim_PyInterpreterState_Get(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyInterpreterState_Get();
    }
    return longway_PyInterpreterState_Get(CALLER);
}

/* ---- libc's ----------------------------------------------------------------------------------------------------- */

/* The shim's own threads begin with the program's first one. */
// NOLINTNEXTLINE(readability-inconsistent-declaration*)
__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*start)(void *), void *argument) {
    start_before_thread();
    return libc_real_pthread_create(thread, attributes, start, argument);
}

/* By it CPython up to 3.13 ends a thread that meets finalization. */
__attribute__((visibility("default"))) void pthread_exit(void *value) { // NOLINT(readability-inconsistent-declaration*)
    longway_before_pthread_exit(CALLER);
    libc_real_pthread_exit(value);
}
