/* The wrappers' long way, one function for each of api.def: to another libpython's function or straight to the real one
 * where the call is not to be judged, else to the recorder (record.h) or the rules (reconcile.h). `caller`: return
 * address in the module that called. See the headers named for what each may do: call into CPython, wait, not return. */
#pragma once

#include "cpython/cpython.h"

int longway_PyGILState_Ensure(const void *caller);
void longway_PyGILState_Release(int gilstate, const void *caller);
int longway_PyGILState_Check(const void *caller);
PyThreadState *longway_PyGILState_GetThisThreadState(const void *caller);
PyThreadState *longway_PyEval_SaveThread(const void *caller);
void longway_PyEval_RestoreThread(PyThreadState *state, const void *caller);
void longway_PyEval_AcquireThread(PyThreadState *state, const void *caller);
void longway_PyEval_ReleaseThread(PyThreadState *state, const void *caller);
void longway_PyEval_AcquireLock(const void *caller);
void longway_PyEval_ReleaseLock(const void *caller);
PyThreadState *longway_PyThreadState_Swap(PyThreadState *state, const void *caller);
void *longway_PyThreadState_Ensure(void *guard, const void *caller);
void *longway_PyThreadState_EnsureFromView(void *view, const void *caller);
void longway_PyThreadState_Release(void *token, const void *caller);
PyThreadState *longway_PyThreadState_New(PyInterpreterState *interp, const void *caller);
void longway_PyThreadState_Clear(PyThreadState *state, const void *caller);
void longway_PyThreadState_Delete(PyThreadState *state, const void *caller);
void longway_PyThreadState_DeleteCurrent(const void *caller);
void longway_Py_Initialize(const void *caller);
void longway_Py_InitializeEx(int install_handlers, const void *caller);
PyStatus longway_Py_InitializeFromConfig(const void *config, const void *caller);
int longway_Py_InitializeFromInitConfig(void *config, const void *caller);
void longway_Py_Finalize(const void *caller);
int longway_Py_FinalizeEx(const void *caller);
PyThreadState *longway_Py_NewInterpreter(const void *caller);
PyStatus longway_Py_NewInterpreterFromConfig(PyThreadState **state, const void *config, const void *caller);
void longway_Py_EndInterpreter(PyThreadState *state, const void *caller);
void longway_PyOS_BeforeFork(const void *caller);
void longway_PyOS_AfterFork_Parent(const void *caller);
void longway_PyOS_AfterFork_Child(const void *caller);
void longway_PyOS_AfterFork(const void *caller);
int longway_PyThread_tss_set(Py_tss_t *key, void *value, const void *caller);
void *longway_PyThread_tss_get(Py_tss_t *key, const void *caller);
void longway_PyThread_tss_delete(Py_tss_t *key, const void *caller);
void longway_PyThread_tss_free(Py_tss_t *key, const void *caller);
int longway_PyThread_set_key_value(int key, void *value, const void *caller);
void *longway_PyThread_get_key_value(int key, const void *caller);
void longway_PyThread_delete_key_value(int key, const void *caller);
void longway_PyThread_delete_key(int key, const void *caller);
void *longway_PyEval_GetBuiltins(const void *caller);
PyInterpreterState *longway_PyInterpreterState_Get(const void *caller);

/* libc's pthread_exit is about to be called. */
void longway_before_pthread_exit(const void *caller);
