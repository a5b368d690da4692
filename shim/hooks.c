/* The exported wrappers. Each does one of two things: where the thread is plain (it has only ever had one state) it
 * jumps to the real function; otherwise it asks the rules (reconcile.h).
 *
 * They are defined under hidden names and exported as aliases: a reference to PyGILState_Ensure in here would be bound
 * to whatever comes first in the process, an executable that contains CPython for one. */
#include "hooks.h"

#include <stdbool.h>

#include "options.h"
#include "owner.h"
#include "real.h"
#include "reconcile.h"
#include "start.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
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

/* Leaves the wrapper by calling the function of the libpython that is to get this call unjudged, if that is so; a call
 * in a process without any CPython does nothing. */
#define PASS(type, name, ...)                                              \
    do {                                                                   \
        const struct real *pass_to = start_pass_to(CALLER);                \
        if (pass_to) {                                                     \
            return pass_to->name ? pass_to->name(__VA_ARGS__) : (type){0}; \
        }                                                                  \
    } while (0)
#define PASS_VOID(name, ...)                                \
    do {                                                    \
        const struct real *pass_to = start_pass_to(CALLER); \
        if (pass_to) {                                      \
            if (pass_to->name) {                            \
                pass_to->name(__VA_ARGS__);                 \
            }                                               \
            return;                                         \
        }                                                   \
    } while (0)

/* ---- the gilstate family ---------------------------------------------------------------------------------------- */

int gilshim_PyGILState_Ensure(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_Ensure();
    }
    PASS(int, PyGILState_Ensure);
    return reconcile_ensure(CALLER);
}

void gilshim_PyGILState_Release(int gilstate) {
    if (LIKELY(owner_is_plain())) {
        if (gilstate == GILSTATE_LOCKED) {
            real.PyGILState_Release(gilstate);
            return;
        }
        if (!owner_fast.is_watched) {
            if (!owner_fast.parked) {
                owner_fast.own = NULL; /* it may be freed now; one that a SaveThread has parked can't */
            }
            real.PyGILState_Release(gilstate);
            return;
        }
    }
    PASS_VOID(PyGILState_Release, gilstate);
    reconcile_release(gilstate, CALLER);
}

int gilshim_PyGILState_Check(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_Check ? real.PyGILState_Check() : 0;
    }
    PASS(int, PyGILState_Check);
    return reconcile_check(CALLER);
}

PyThreadState *gilshim_PyGILState_GetThisThreadState(void) {
    if (LIKELY(owner_is_plain())) {
        return real.PyGILState_GetThisThreadState();
    }
    PASS(PyThreadState *, PyGILState_GetThisThreadState);
    return reconcile_this_thread_state();
}

/* ---- attach and detach ------------------------------------------------------------------------------------------ */

/* On a plain thread: what is attached to it, or some other thread's state (up to 3.11). */
static inline const PyThreadState *plain_current(void) {
    current_place *place = owner_fast.current;
    if (LIKELY(place != NULL)) {
        return *place; // cppcheck-suppress CastIntegerToAddressAtReturn ; it takes the typedef for an integer
    }
    return interp_current();
}

/* Whether the thread is plain and `state` is the one it has attached. */
static inline bool is_own_attached(const PyThreadState *state) {
    return owner_is_plain() && state && owner_fast.own == state && plain_current() == state;
}

/* Whether the thread is plain, and `state` the one that it saved away and is to restore. An Ensure may have attached it
 * in between. */
static inline bool is_own_parked(const PyThreadState *state) {
    return owner_is_plain() && state && owner_fast.parked == state && plain_current() != state;
}

PyThreadState *gilshim_PyEval_SaveThread(void) {
    if (LIKELY(is_own_attached(owner_fast.own))) {
        owner_fast.parked = owner_fast.own;
        return real.PyEval_SaveThread();
    }
    PASS(PyThreadState *, PyEval_SaveThread);
    return reconcile_save(CALLER);
}

void gilshim_PyEval_RestoreThread(PyThreadState *state) {
    if (LIKELY(is_own_parked(state))) {
        owner_fast.parked = NULL;
        real.PyEval_RestoreThread(state);
        return;
    }
    PASS_VOID(PyEval_RestoreThread, state);
    reconcile_attach(state, OWNER_BY_RESTORE, CALLER);
}

void gilshim_PyEval_AcquireThread(PyThreadState *state) {
    if (LIKELY(is_own_parked(state))) {
        owner_fast.parked = NULL;
        real.PyEval_AcquireThread(state);
        return;
    }
    PASS_VOID(PyEval_AcquireThread, state);
    reconcile_attach(state, OWNER_BY_ACQUIRE, CALLER);
}

void gilshim_PyEval_ReleaseThread(PyThreadState *state) {
    if (LIKELY(is_own_attached(state))) {
        owner_fast.parked = state;
        real.PyEval_ReleaseThread(state);
        return;
    }
    PASS_VOID(PyEval_ReleaseThread, state);
    reconcile_release_thread(state, CALLER);
}

void gilshim_PyEval_AcquireLock(void) {
    PASS_VOID(PyEval_AcquireLock);
    reconcile_acquire_lock();
}

void gilshim_PyEval_ReleaseLock(void) {
    PASS_VOID(PyEval_ReleaseLock);
    reconcile_release_lock();
}

PyThreadState *gilshim_PyThreadState_Swap(PyThreadState *state) {
    PASS(PyThreadState *, PyThreadState_Swap, state);
    return reconcile_swap(state, CALLER);
}

/* PEP 788 goes by what is attached and needs the slot only to be right: looking at the record sees to that. */
void *gilshim_PyThreadState_Ensure(void *guard) {
    PASS(void *, PyThreadState_Ensure, guard);
    owner_leave(owner_enter());
    return real.PyThreadState_Ensure(guard);
}

void *gilshim_PyThreadState_EnsureFromView(void *view) {
    PASS(void *, PyThreadState_EnsureFromView, view);
    owner_leave(owner_enter());
    return real.PyThreadState_EnsureFromView(view);
}

void gilshim_PyThreadState_Release(void *token) {
    PASS_VOID(PyThreadState_Release, token);
    owner_leave(owner_enter());
    real.PyThreadState_Release(token);
}

/* ---- states and interpreters come and go ------------------------------------------------------------------------ */

PyThreadState *gilshim_PyThreadState_New(PyInterpreterState *interp) {
    PASS(PyThreadState *, PyThreadState_New, interp);
    return reconcile_new(interp);
}

void gilshim_PyThreadState_Clear(PyThreadState *state) {
    PASS_VOID(PyThreadState_Clear, state);
    reconcile_clear(state);
}

void gilshim_PyThreadState_Delete(PyThreadState *state) {
    PASS_VOID(PyThreadState_Delete, state);
    reconcile_delete(state, CALLER);
}

void gilshim_PyThreadState_DeleteCurrent(void) {
    PASS_VOID(PyThreadState_DeleteCurrent);
    reconcile_delete_current(CALLER);
}

/* A second libpython shows itself at the latest when its interpreter is started through our exports. */
void gilshim_Py_Initialize(void) {
    start_look_again();
    PASS_VOID(Py_Initialize);
    reconcile_before_initialize();
    real.Py_Initialize();
    reconcile_after_initialize();
}

void gilshim_Py_InitializeEx(int install_handlers) {
    start_look_again();
    PASS_VOID(Py_InitializeEx, install_handlers);
    reconcile_before_initialize();
    real.Py_InitializeEx(install_handlers);
    reconcile_after_initialize();
}

PyStatus gilshim_Py_InitializeFromConfig(const void *config) {
    start_look_again();
    PASS(PyStatus, Py_InitializeFromConfig, config);
    reconcile_before_initialize();
    PyStatus status = real.Py_InitializeFromConfig(config);
    reconcile_after_initialize();
    return status;
}

int gilshim_Py_InitializeFromInitConfig(void *config) {
    start_look_again();
    PASS(int, Py_InitializeFromInitConfig, config);
    reconcile_before_initialize();
    int result = real.Py_InitializeFromInitConfig(config);
    reconcile_after_initialize();
    return result;
}

void gilshim_Py_Finalize(void) {
    PASS_VOID(Py_Finalize);
    reconcile_before_finalize(CALLER);
    real.Py_Finalize();
    reconcile_forget_interpreter();
}

int gilshim_Py_FinalizeEx(void) {
    PASS(int, Py_FinalizeEx);
    reconcile_before_finalize(CALLER);
    int result = real.Py_FinalizeEx();
    reconcile_forget_interpreter();
    return result;
}

PyThreadState *gilshim_Py_NewInterpreter(void) {
    PASS(PyThreadState *, Py_NewInterpreter);
    PyThreadState *state = real.Py_NewInterpreter();
    reconcile_after_new_interpreter(state, CALLER);
    return state;
}

PyStatus gilshim_Py_NewInterpreterFromConfig(PyThreadState **state, const void *config) {
    PASS(PyStatus, Py_NewInterpreterFromConfig, state, config);
    PyStatus status = real.Py_NewInterpreterFromConfig(state, config);
    reconcile_after_new_interpreter(state ? *state : NULL, CALLER);
    return status;
}

void gilshim_Py_EndInterpreter(PyThreadState *state) {
    PASS_VOID(Py_EndInterpreter, state);
    reconcile_end_interpreter(state, CALLER);
}

void gilshim_PyOS_BeforeFork(void) {
    PASS_VOID(PyOS_BeforeFork);
    real.PyOS_BeforeFork();
}

void gilshim_PyOS_AfterFork_Parent(void) {
    PASS_VOID(PyOS_AfterFork_Parent);
    real.PyOS_AfterFork_Parent();
}

/* Called by hand also in a process that has not forked (collectd's init hook). */
void gilshim_PyOS_AfterFork_Child(void) {
    PASS_VOID(PyOS_AfterFork_Child);
    reconcile_before_freeing_others();
    real.PyOS_AfterFork_Child();
}

void gilshim_PyOS_AfterFork(void) {
    PASS_VOID(PyOS_AfterFork);
    reconcile_before_freeing_others();
    real.PyOS_AfterFork();
}

/* ---- libraries' keys -------------------------------------------------------------------------------------------- */

int gilshim_PyThread_tss_set(Py_tss_t *key, void *value) {
    PASS(int, PyThread_tss_set, key, value);
    return keys_set(key, value);
}

void *gilshim_PyThread_tss_get(Py_tss_t *key) {
    PASS(void *, PyThread_tss_get, key);
    return keys_get(key, CALLER);
}

void gilshim_PyThread_tss_delete(Py_tss_t *key) {
    PASS_VOID(PyThread_tss_delete, key);
    keys_gone(key);
    real.PyThread_tss_delete(key);
}

void gilshim_PyThread_tss_free(Py_tss_t *key) {
    PASS_VOID(PyThread_tss_free, key);
    keys_gone(key);
    real.PyThread_tss_free(key);
}

int gilshim_PyThread_set_key_value(int key, void *value) {
    PASS(int, PyThread_set_key_value, key, value);
    return keys_set(keys_of_number(key), value);
}

void *gilshim_PyThread_get_key_value(int key) {
    PASS(void *, PyThread_get_key_value, key);
    return keys_get(keys_of_number(key), CALLER);
}

void gilshim_PyThread_delete_key_value(int key) {
    PASS_VOID(PyThread_delete_key_value, key);
    keys_set(keys_of_number(key), NULL);
}

void gilshim_PyThread_delete_key(int key) {
    PASS_VOID(PyThread_delete_key, key);
    keys_gone(keys_of_number(key));
    real.PyThread_delete_key(key);
}

/* ---- calls that crash without a state --------------------------------------------------------------------------- */

void *gilshim_PyEval_GetBuiltins(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyEval_GetBuiltins();
    }
    PASS(void *, PyEval_GetBuiltins);
    reconcile_before_state_is_needed(CALLER);
    return real.PyEval_GetBuiltins();
}

PyInterpreterState *gilshim_PyInterpreterState_Get(void) {
    if (LIKELY(owner_is_plain() && !owner_fast.parked)) {
        return real.PyInterpreterState_Get();
    }
    PASS(PyInterpreterState *, PyInterpreterState_Get);
    reconcile_before_state_is_needed(CALLER);
    return real.PyInterpreterState_Get();
}
