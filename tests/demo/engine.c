/* "engine": a native library that enters Python in the way of the C API's older half: PyThreadState_New makes a thread
 * state, PyEval_AcquireThread attaches it. Tried alone, it is right: nobody else attaches anything on its threads. */
#include "module.h"

#include <pthread.h>

static PyInterpreterState *interpreter;

/* Calls function(text) under a state of engine's own, which ends with the call. */
void engine_call_back(PyThreadState *state, PyObject *function, const char *text);
void engine_call_back(PyThreadState *state, PyObject *function, const char *text) {
    PyEval_AcquireThread(state);
    PyObject *result = PyObject_CallFunction(function, "s", text);
    if (result == NULL)
        PyErr_Print();
    Py_XDECREF(result);
    PyThreadState_Clear(state);
    PyThreadState_DeleteCurrent();
}

struct job {
    PyThreadState *state;
    PyObject *function;
};

static void *work(void *argument) {
    struct job *job = argument;
    engine_call_back(job->state, job->function, "engine's own thread");
    return NULL;
}

/* run(function): calls it on a new native thread, and waits for that one without the GIL. */
static PyObject *run(PyObject *self, PyObject *function) {
    pthread_t thread;
    (void)self;
#if PY_VERSION_HEX < 0x03070000
    PyEval_InitThreads();
#endif
    interpreter = PyThreadState_Get()->interp;
    struct job job = {PyThreadState_New(interpreter), function};
    Py_BEGIN_ALLOW_THREADS;
    if (pthread_create(&thread, NULL, work, &job) == 0)
        pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

/* What other native libraries call, from whatever thread they are on: its documentation says that they may. */
void engine_notify(PyObject *function);
void engine_notify(PyObject *function) {
    engine_call_back(PyThreadState_New(interpreter), function, "engine, called by codec");
}

MODULE(engine, run, "Calls a function on a native thread.")
