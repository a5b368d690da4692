/* What a call costs while there are many thread states. */
#include <Python.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench_api.h"

static PyThreadState *make(void) {
    return PyThreadState_New(PyInterpreterState_Head());
}

static void discard(PyThreadState *state) {
    PyThreadState_Clear(state);
    PyThreadState_Delete(state);
}

static void made(void) {
    discard(make());
}

static void save(void) {
    PyEval_RestoreThread(PyEval_SaveThread());
}

static void *live(void *unused) {
    PyGILState_Release(PyGILState_Ensure());
    return unused;
}

static void life(void) {
    pthread_t thread;
    PyThreadState *saved = PyEval_SaveThread();
    if (pthread_create(&thread, NULL, live, NULL) == 0)
        pthread_join(thread, NULL);
    PyEval_RestoreThread(saved);
}

double at_scale(const char *what, int states) {
    void (*call)(void) = strcmp(what, "made") == 0   ? made
                         : strcmp(what, "life") == 0 ? life
                         : strcmp(what, "save") == 0 ? save
                                                     : NULL;
    PyThreadState **others = call ? calloc((size_t)states, sizeof *others) : NULL;
    if (!others)
        return -1;
    for (int i = 0; i < states; i++)
        others[i] = make();
    int calls = call == life ? 100 : 1000;
    call();
    double begun = spent();
    for (int i = 0; i < calls; i++)
        call();
    double took = (spent() - begun) / calls;
    while (states-- > 0)
        discard(others[states]);
    free(others);
    return took;
}
