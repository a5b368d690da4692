/* Many foreign threads at once. */
#include <Python.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_api.h"

static atomic_int waiting; /* threads that are ready to begin */
static atomic_bool begin, end;

static void storm(void) {
    PyGILState_Release(PyGILState_Ensure());
}

static void busy(void) {
    PyGILState_STATE ensured = PyGILState_Ensure();
    for (int i = 0; i < 20; i++)
        Py_XDECREF(PyLong_FromLong(1000 + i));
    PyGILState_Release(ensured);
}

static void release(void) {
    PyGILState_STATE ensured = PyGILState_Ensure();
    PyEval_RestoreThread(PyEval_SaveThread());
    PyGILState_Release(ensured);
}

struct worker {
    pthread_t thread;
    void (*call)(void);
    long calls;
};

static void *work(void *argument) {
    struct worker *me = argument;
    me->call(); /* what a thread's first call costs is another question */
    waiting++;
    while (!begin)
        sched_yield();
    long calls = 0;
    while (!end) {
        me->call();
        calls++;
    }
    me->calls = calls;
    return NULL;
}

double spent(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double throughput(const char *name, int threads, double seconds) {
    void (*call)(void) = strcmp(name, "storm") == 0     ? storm
                         : strcmp(name, "busy") == 0    ? busy
                         : strcmp(name, "release") == 0 ? release
                                                        : NULL;
    struct worker *workers = call ? calloc((size_t)threads, sizeof *workers) : NULL;
    pthread_attr_t small;
    if (!workers)
        return -1;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    begin = end = false;
    waiting = 0;
    int started = 0;
    PyThreadState *state = PyEval_SaveThread();
    for (; started < threads; started++) {
        workers[started].call = call;
        if (pthread_create(&workers[started].thread, &small, work, &workers[started]) != 0)
            break;
    }
    while (waiting < started)
        sched_yield();
    double since = spent();
    begin = true;
    struct timespec pause = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&pause, NULL);
    end = true;
    double took = spent() - since;
    double calls = 0;
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        calls += (double)workers[i].calls;
    }
    PyEval_RestoreThread(state);
    free(workers);
    pthread_attr_destroy(&small);
    return started == threads ? calls / took * 1e9 : -1;
}
