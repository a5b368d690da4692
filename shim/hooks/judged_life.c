#include "hooks/judged.h"

#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "diagnose/observe.h"
#include "hooks/gear.h"
#include "hooks/pass_through.h"
#include "hooks/record.h"
#include "journal/journal.h"
#include "rules/reconcile.h"
#include "states/owner.h"

/* ---- interpreters ----------------------------------------------------------------------------------------------- */

static void before_initialize(uint16_t call, const void *caller) {
    if (journal_is_on) {
        record_initializes(call, caller);
    }
    if (pass_through_by_rules()) {
        reconcile_before_initialize();
    }
}

static void after_initialize(uint16_t call, const void *caller) {
    if (pass_through_by_rules()) {
        reconcile_after_initialize();
    }
    if (journal_is_on) {
        record_initialized(call, caller);
    }
}

static void before_finalize(uint16_t call, const void *caller) {
    observe_finalize(caller);
    observe_finalizes(true);
    leftover_tell();
    if (journal_is_on) {
        record_finalizes(call, caller);
    }
    if (pass_through_by_rules()) {
        reconcile_before_finalize(caller);
    }
}

static void after_finalize(uint16_t call, const void *caller) {
    reconcile_after_finalize();
    observe_finalizes(false);
    leftover_forget();
    if (journal_is_on) {
        record_finalized(call, caller);
    }
}

static struct beneath_interpreter before_new_interpreter(void) {
    return pass_through_by_rules() ? reconcile_before_new_interpreter() : (struct beneath_interpreter){NULL, true};
}

static void after_new_interpreter(uint16_t call, struct beneath_interpreter beneath, PyThreadState *state,
                                  const void *caller) {
    if (pass_through_by_rules()) {
        reconcile_after_new_interpreter(beneath, state, caller);
    }
    if (journal_is_on) {
        record_new_interpreter(call, state, caller);
    }
}

static void before_freeing_others(void) {
    if (pass_through_by_rules()) {
        reconcile_before_freeing_others();
    }
}

void judged_Py_Initialize(const void *caller) {
    NOTE_CALL(Py_Initialize);
    before_initialize(REAL_INDEX_Py_Initialize, caller);
    real.Py_Initialize();
    after_initialize(REAL_INDEX_Py_Initialize, caller);
}

void judged_Py_InitializeEx(int install_handlers, const void *caller) {
    NOTE_CALL(Py_InitializeEx);
    before_initialize(REAL_INDEX_Py_InitializeEx, caller);
    real.Py_InitializeEx(install_handlers);
    after_initialize(REAL_INDEX_Py_InitializeEx, caller);
}

PyStatus judged_Py_InitializeFromConfig(const void *config, const void *caller) {
    NOTE_CALL(Py_InitializeFromConfig);
    before_initialize(REAL_INDEX_Py_InitializeFromConfig, caller);
    PyStatus status = real.Py_InitializeFromConfig(config);
    after_initialize(REAL_INDEX_Py_InitializeFromConfig, caller);
    return status;
}

int judged_Py_InitializeFromInitConfig(void *config, const void *caller) {
    NOTE_CALL(Py_InitializeFromInitConfig);
    before_initialize(REAL_INDEX_Py_InitializeFromInitConfig, caller);
    int result = real.Py_InitializeFromInitConfig(config);
    after_initialize(REAL_INDEX_Py_InitializeFromInitConfig, caller);
    return result;
}

void judged_Py_Finalize(const void *caller) {
    NOTE_CALL(Py_Finalize);
    before_finalize(REAL_INDEX_Py_Finalize, caller);
    real.Py_Finalize();
    after_finalize(REAL_INDEX_Py_Finalize, caller);
}

int judged_Py_FinalizeEx(const void *caller) {
    NOTE_CALL(Py_FinalizeEx);
    before_finalize(REAL_INDEX_Py_FinalizeEx, caller);
    int result = real.Py_FinalizeEx();
    after_finalize(REAL_INDEX_Py_FinalizeEx, caller);
    return result;
}

/* Does not return. The end of the interpreter is noticed by interp_watch_end. */
void judged_Py_Exit(int status, const void *caller) {
    NOTE_CALL(Py_Exit);
    before_finalize(REAL_INDEX_Py_Exit, caller);
    real.Py_Exit(status);
}

PyThreadState *judged_Py_NewInterpreter(const void *caller) {
    NOTE_CALL(Py_NewInterpreter);
    struct beneath_interpreter beneath = before_new_interpreter();
    PyThreadState *state = real.Py_NewInterpreter();
    after_new_interpreter(REAL_INDEX_Py_NewInterpreter, beneath, state, caller);
    return state;
}

PyStatus judged_Py_NewInterpreterFromConfig(PyThreadState **state, const void *config, const void *caller) {
    NOTE_CALL(Py_NewInterpreterFromConfig);
    struct beneath_interpreter beneath = before_new_interpreter();
    PyStatus status = real.Py_NewInterpreterFromConfig(state, config);
    after_new_interpreter(REAL_INDEX_Py_NewInterpreterFromConfig, beneath, state ? *state : NULL, caller);
    return status;
}

void judged_Py_EndInterpreter(PyThreadState *state, const void *caller) {
    NOTE_CALL(Py_EndInterpreter);
    observe_end_interpreter(state, caller);
    reconcile_end_interpreter(state);
}

void judged_PyOS_BeforeFork(const void *caller) {
    NOTE_CALL(PyOS_BeforeFork);
    if (pass_through_by_rules()) {
        reconcile_before_fork();
    }
    real.PyOS_BeforeFork();
}

void judged_PyOS_AfterFork_Parent(const void *caller) {
    NOTE_CALL(PyOS_AfterFork_Parent);
    real.PyOS_AfterFork_Parent();
    reconcile_after_fork();
}

/* Some programs call it in a process that has not forked (collectd's init hook), so no fork handler has run. */
void judged_PyOS_AfterFork_Child(const void *caller) {
    NOTE_CALL(PyOS_AfterFork_Child);
    before_freeing_others();
    real.PyOS_AfterFork_Child();
    reconcile_after_fork();
}

void judged_PyOS_AfterFork(const void *caller) {
    NOTE_CALL(PyOS_AfterFork);
    before_freeing_others();
    real.PyOS_AfterFork();
    reconcile_after_fork();
}

/* ---- libraries' keys -------------------------------------------------------------------------------------------- */

int judged_PyThread_tss_set(Py_tss_t *key, void *value, const void *caller) {
    NOTE_CALL(PyThread_tss_set);
    const void *name = pass_through_by_rules() ? keys_of_tss(key) : NULL;
    return name ? keys_set(name, value) : real.PyThread_tss_set(key, value);
}

void *judged_PyThread_tss_get(Py_tss_t *key, const void *caller) {
    NOTE_CALL(PyThread_tss_get);
    const void *name = pass_through_by_rules() ? keys_of_tss(key) : NULL;
    if (name) {
        return keys_get(name, caller);
    }
    void *value = real.PyThread_tss_get(key);
    observe_key_answers(value, caller);
    return value;
}

void judged_PyThread_tss_delete(Py_tss_t *key, const void *caller) {
    NOTE_CALL(PyThread_tss_delete);
    if (pass_through_by_rules()) {
        keys_gone(keys_of_tss(key));
    }
    real.PyThread_tss_delete(key);
}

void judged_PyThread_tss_free(Py_tss_t *key, const void *caller) {
    NOTE_CALL(PyThread_tss_free);
    if (pass_through_by_rules()) {
        keys_gone(keys_of_tss(key));
    }
    real.PyThread_tss_free(key);
}

int judged_PyThread_set_key_value(int key, void *value, const void *caller) {
    NOTE_CALL(PyThread_set_key_value);
    return pass_through_by_rules() ? keys_set(keys_of_number(key), value) : real.PyThread_set_key_value(key, value);
}

void *judged_PyThread_get_key_value(int key, const void *caller) {
    NOTE_CALL(PyThread_get_key_value);
    if (pass_through_by_rules()) {
        return keys_get(keys_of_number(key), caller);
    }
    void *value = real.PyThread_get_key_value(key);
    observe_key_answers(value, caller);
    return value;
}

void judged_PyThread_delete_key_value(int key, const void *caller) {
    NOTE_CALL(PyThread_delete_key_value);
    if (pass_through_by_rules()) {
        keys_empty(keys_of_number(key));
    } else {
        real.PyThread_delete_key_value(key);
    }
}

void judged_PyThread_delete_key(int key, const void *caller) {
    NOTE_CALL(PyThread_delete_key);
    if (pass_through_by_rules()) {
        keys_gone(keys_of_number(key));
    }
    real.PyThread_delete_key(key);
}

/* ---- calls that crash without a state --------------------------------------------------------------------------- */

void *judged_PyEval_GetBuiltins(const void *caller) {
    NOTE_CALL(PyEval_GetBuiltins);
    observe_finalize(caller);
    if (pass_through_by_rules()) {
        reconcile_before_state_is_needed(caller);
    }
    return real.PyEval_GetBuiltins();
}

PyInterpreterState *judged_PyInterpreterState_Get(const void *caller) {
    NOTE_CALL(PyInterpreterState_Get);
    observe_finalize(caller);
    if (pass_through_by_rules()) {
        reconcile_before_state_is_needed(caller);
    }
    return real.PyInterpreterState_Get();
}

/* ---- libc's ----------------------------------------------------------------------------------------------------- */

void judged_before_pthread_exit(const void *caller) {
    if (real_is_served() && !real_is_ambiguous && options.mode != MODE_OFF) {
        reconcile_before_pthread_exit(caller);
    }
}
