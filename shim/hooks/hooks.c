/* The exported wrappers. On a plain thread (it has only ever had one state, and its calls are not recorded) a wrapper
 * notes what has to be noted and calls the real function. All other calls are left to another gear (gear.h). Where
 * a nested Ensure or its Release would only count, the wrapper does that itself, also on threads that are not plain.
 *
 * The wrappers are defined under hidden names and exported as aliases: a reference to PyGILState_Ensure in this file
 * might be bound to another definition that comes first in the process, such as that of an executable that contains
 * CPython. */
#include "hooks/hooks.h"

#include <pthread.h>
#include <stdbool.h>

#include "cpython/counter.h"
#include "cpython/real.h"
#include "hooks/binding.h"
#include "hooks/gear.h"
#include "hooks/judged.h"
#include "rules/reconcile.h"
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
    return GEAR(PyGILState_Ensure)(CALLER);
}

void gilshim_PyGILState_Release(int gilstate) {
    PyThreadState *state = gilstate == GILSTATE_LOCKED ? plain_counted() : NULL;
    if (LIKELY(state && *counter_of(state) > 1)) { /* the one that counts down to 0 frees the state */
        --*counter_of(state);
        return;
    }
    if (LIKELY(owner_is_plain()) && LIKELY(settled_may_release(gilstate))) {
        real.PyGILState_Release(gilstate);
        return;
    }
    GEAR(PyGILState_Release)(gilstate, CALLER);
}

int gilshim_PyGILState_Check(void) {
    bool is_plain = owner_is_plain();
    if (LIKELY(plain_attached(is_plain) != NULL)) {
        return 1; /* the attached state is the one in the slot, which is all that CPython asks */
    }
    if (is_plain) {
        return real.PyGILState_Check ? real.PyGILState_Check() : 0;
    }
    return judged_PyGILState_Check(CALLER);
}

PyThreadState *gilshim_PyGILState_GetThisThreadState(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_GetThisThreadState();
    }
    return judged_PyGILState_GetThisThreadState(CALLER);
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

PyThreadState *gilshim_PyEval_SaveThread(void) {
    PyThreadState *state = plain_attached(owner_is_plain());
    if (LIKELY(state != NULL)) {
        owner_fast.parked = state;
        return real.PyEval_SaveThread();
    }
    return GEAR(PyEval_SaveThread)(CALLER);
}

void gilshim_PyEval_RestoreThread(PyThreadState *state) {
    if (LIKELY(plain_has_parked(owner_is_plain(), state))) {
        owner_fast.parked = NULL;
        real.PyEval_RestoreThread(state);
        return;
    }
    GEAR(PyEval_RestoreThread)(state, CALLER);
}

void gilshim_PyEval_AcquireThread(PyThreadState *state) {
    if (LIKELY(plain_has_parked(owner_is_plain(), state))) {
        owner_fast.parked = NULL;
        real.PyEval_AcquireThread(state);
        return;
    }
    GEAR(PyEval_AcquireThread)(state, CALLER);
}

void gilshim_PyEval_ReleaseThread(PyThreadState *state) {
    if (LIKELY(state && plain_attached(owner_is_plain()) == state)) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
        return;
    }
    GEAR(PyEval_ReleaseThread)(state, CALLER);
}

void gilshim_PyEval_AcquireLock(void) {
    GEAR(PyEval_AcquireLock)(CALLER);
}

void gilshim_PyEval_ReleaseLock(void) {
    GEAR(PyEval_ReleaseLock)(CALLER);
}

PyThreadState *gilshim_PyThreadState_Swap(PyThreadState *state) {
    return GEAR(PyThreadState_Swap)(state, CALLER);
}

void *gilshim_PyThreadState_Ensure(void *guard) {
    return GEAR(PyThreadState_Ensure)(guard, CALLER);
}

void *gilshim_PyThreadState_EnsureFromView(void *view) {
    return GEAR(PyThreadState_EnsureFromView)(view, CALLER);
}

void gilshim_PyThreadState_Release(void *token) {
    GEAR(PyThreadState_Release)(token, CALLER);
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

PyThreadState *gilshim_PyThreadState_New(PyInterpreterState *interp) {
    return GEAR(PyThreadState_New)(interp, CALLER);
}

void gilshim_PyThreadState_Clear(PyThreadState *state) {
    GEAR(PyThreadState_Clear)(state, CALLER);
}

void gilshim_PyThreadState_Delete(PyThreadState *state) {
    GEAR(PyThreadState_Delete)(state, CALLER);
}

void gilshim_PyThreadState_DeleteCurrent(void) {
    GEAR(PyThreadState_DeleteCurrent)(CALLER);
}

/* A second libpython has to be noticed here at the latest: its interpreter is started through our exports. */
void gilshim_Py_Initialize(void) {
    start_look_again();
    GEAR(Py_Initialize)(CALLER);
}

void gilshim_Py_InitializeEx(int install_handlers) {
    start_look_again();
    GEAR(Py_InitializeEx)(install_handlers, CALLER);
}

PyStatus gilshim_Py_InitializeFromConfig(const void *config) {
    start_look_again();
    return GEAR(Py_InitializeFromConfig)(config, CALLER);
}

int gilshim_Py_InitializeFromInitConfig(void *config) {
    start_look_again();
    return GEAR(Py_InitializeFromInitConfig)(config, CALLER);
}

void gilshim_Py_Finalize(void) {
    GEAR(Py_Finalize)(CALLER);
}

int gilshim_Py_FinalizeEx(void) {
    return GEAR(Py_FinalizeEx)(CALLER);
}

void gilshim_Py_Exit(int status) {
    GEAR(Py_Exit)(status, CALLER);
}

PyThreadState *gilshim_Py_NewInterpreter(void) {
    return GEAR(Py_NewInterpreter)(CALLER);
}

PyStatus gilshim_Py_NewInterpreterFromConfig(PyThreadState **state, const void *config) {
    return GEAR(Py_NewInterpreterFromConfig)(state, config, CALLER);
}

void gilshim_Py_EndInterpreter(PyThreadState *state) {
    GEAR(Py_EndInterpreter)(state, CALLER);
}

void gilshim_PyOS_BeforeFork(void) {
    GEAR(PyOS_BeforeFork)(CALLER);
}

void gilshim_PyOS_AfterFork_Parent(void) {
    GEAR(PyOS_AfterFork_Parent)(CALLER);
}

void gilshim_PyOS_AfterFork_Child(void) {
    GEAR(PyOS_AfterFork_Child)(CALLER);
}

void gilshim_PyOS_AfterFork(void) {
    GEAR(PyOS_AfterFork)(CALLER);
}

/* ---- libraries' keys -------------------------------------------------------------------------------------------- */

int gilshim_PyThread_tss_set(Py_tss_t *key, void *value) {
    return GEAR(PyThread_tss_set)(key, value, CALLER);
}

void *gilshim_PyThread_tss_get(Py_tss_t *key) {
    if (LIKELY(owner_is_plain())) {
        void *value = real.PyThread_tss_get(key);
        if (LIKELY(settled_is_own(value)) || (!value && keys_was_asked() && keys_get_again(keys_of_tss(key), &value))) {
            return value;
        }
    }
    return GEAR(PyThread_tss_get)(key, CALLER);
}

void gilshim_PyThread_tss_delete(Py_tss_t *key) {
    GEAR(PyThread_tss_delete)(key, CALLER);
}

void gilshim_PyThread_tss_free(Py_tss_t *key) {
    GEAR(PyThread_tss_free)(key, CALLER);
}

int gilshim_PyThread_set_key_value(int key, void *value) {
    return GEAR(PyThread_set_key_value)(key, value, CALLER);
}

void *gilshim_PyThread_get_key_value(int key) {
    if (LIKELY(owner_is_plain())) {
        void *value = real.PyThread_get_key_value(key);
        if (LIKELY(settled_is_own(value)) ||
            (!value && keys_was_asked() && keys_get_again(keys_of_number(key), &value))) {
            return value;
        }
    }
    return GEAR(PyThread_get_key_value)(key, CALLER);
}

void gilshim_PyThread_delete_key_value(int key) {
    GEAR(PyThread_delete_key_value)(key, CALLER);
}

void gilshim_PyThread_delete_key(int key) {
    GEAR(PyThread_delete_key)(key, CALLER);
}

/* ---- calls that crash without a state --------------------------------------------------------------------------- */

void *gilshim_PyEval_GetBuiltins(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyEval_GetBuiltins();
    }
    return GEAR(PyEval_GetBuiltins)(CALLER);
}

PyInterpreterState *gilshim_PyInterpreterState_Get(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyInterpreterState_Get();
    }
    return GEAR(PyInterpreterState_Get)(CALLER);
}

/* ---- libc's ----------------------------------------------------------------------------------------------------- */

/* As a rule the shim's own threads are not started before the program's first one, so that a program without threads
 * stays one. */
// NOLINTNEXTLINE(readability-inconsistent-declaration*)
__attribute__((visibility("default"))) int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                                          void *(*start)(void *), void *argument) {
    start_before_thread();
    return libc_real_pthread_create(thread, attributes, start, argument);
}

/* CPython up to 3.13 calls it to end a thread that would attach its state while the interpreter is being finalized. */
__attribute__((visibility("default"))) void pthread_exit(void *value) { // NOLINT(readability-inconsistent-declaration*)
    judged_before_pthread_exit(CALLER);
    libc_real_pthread_exit(value);
}
