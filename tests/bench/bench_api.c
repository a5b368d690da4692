/* Module bench_api: measures pairs of API calls, called as a real extension calls them (through its PLT).

   serve() reads lines "NAME BATCHES" and answers each with the nanoseconds of one pair: the minimum over short batches,
   which is repeatable where the mean of a long loop is not. */
#include <Python.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void nested(int pairs) {
    for (int i = 0; i < pairs; i++)
        PyGILState_Release(PyGILState_Ensure());
}

static void save_restore(int pairs) {
    for (int i = 0; i < pairs; i++)
        PyEval_RestoreThread(PyEval_SaveThread());
}

static void acquire_release(int pairs) {
    PyThreadState *state = PyThreadState_Get();
    for (int i = 0; i < pairs; i++) {
        PyEval_ReleaseThread(state);
        PyEval_AcquireThread(state);
    }
}

enum { ATTACHED, DETACHED, FOREIGN };

static const struct bench {
    const char *name;
    void (*run)(int pairs);
    int thread; /* the thread's condition around the loop */
} benches[] = {
    {"nested", nested, ATTACHED}, /* Ensure/Release under an attached state */
    {"save_restore", save_restore, ATTACHED},
    {"acquire_release", acquire_release, ATTACHED},
    {"attach", nested, DETACHED}, /* Ensure/Release on a thread whose own state is saved away */
    {"foreign", nested, FOREIGN}, /* Ensure/Release on a thread without: a new state each time */
};

/* Nothing that batches have in common is in the measured time; a batch takes at most about 20 us. */
static double measure(const struct bench *bench, int batches) {
    int pairs = 1;
    for (;; pairs *= 2) {
        double start = now();
        bench->run(pairs);
        if (now() - start > 8e3 || pairs >= 4096)
            break;
    }
    double best = 1e18;
    for (int i = 0; i < batches; i++) {
        double start = now();
        bench->run(pairs);
        double took = (now() - start) / pairs;
        best = took < best ? took : best;
    }
    return best;
}

struct job {
    const struct bench *bench;
    int batches;
    double result;
};

static void *foreign_thread(void *argument) {
    struct job *job = argument;
    job->result = measure(job->bench, job->batches);
    return NULL;
}

static double run(const struct bench *bench, int batches) {
    struct job job = {bench, batches, 0};
    PyThreadState *state = NULL;
    pthread_t thread;
    if (bench->thread != ATTACHED)
        state = PyEval_SaveThread();
    if (bench->thread == FOREIGN && pthread_create(&thread, NULL, foreign_thread, &job) == 0)
        pthread_join(thread, NULL);
    else
        foreign_thread(&job);
    if (state)
        PyEval_RestoreThread(state);
    return job.result;
}

static PyObject *serve(PyObject *self, PyObject *args) {
    (void)self;
    (void)args;
    char line[100], name[40];
    int batches;
#if PY_VERSION_HEX < 0x03070000
    PyEval_InitThreads();
#endif
    while (fgets(line, sizeof line, stdin) && sscanf(line, "%39s %d", name, &batches) == 2) {
        double result = -1;
        for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
            if (strcmp(benches[i].name, name) == 0)
                result = run(&benches[i], batches);
        }
        printf("%.3f\n", result);
        fflush(stdout);
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"serve", serve, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define NAME bench_api
#include "../fixtures/binding/init.h"
