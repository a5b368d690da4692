/* Module bench_api: pairs of API calls, called as a real extension calls them (through its PLT), timed or counted.

   serve() reads lines and answers each with one:
     time NAME BATCHES   the nanoseconds of one pair: the minimum over short batches, which is repeatable where the mean of
                         a long loop is not
     count NAME PAIRS    under valgrind's callgrind: a dump with the instructions of that many pairs is written, under NAME
     threads NAME THREADS SECONDS   the pairs a second of that many threads at once (throughput.c)
     scale NAME STATES   the nanoseconds of one of these while so many more states exist (scale.c)  */
#include <Python.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench_api.h"

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_DUMP_STATS_AT(name) (void)(name)
#endif

double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- the pairs ----------------------------------------------------------------------------------------------------- */

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

static void swap(int pairs) {
    PyThreadState *state = PyThreadState_Get();
    for (int i = 0; i < pairs; i++) {
        PyThreadState_Swap(NULL);
        PyThreadState_Swap(state);
    }
}

static void check(int pairs) {
    for (int i = 0; i < pairs; i++) {
#if PY_MAJOR_VERSION >= 3
        PyGILState_Check();
#endif
        PyGILState_GetThisThreadState();
    }
}

/* What a call-back does that lets others run meanwhile. */
static void callback(int pairs) {
    for (int i = 0; i < pairs; i++) {
        PyGILState_STATE ensured = PyGILState_Ensure();
        PyEval_RestoreThread(PyEval_SaveThread());
        PyGILState_Release(ensured);
    }
}

/* A call of C by cffi that calls back: its own form of Ensure attaches by PyEval_RestoreThread. */
static void restored(int pairs) {
    for (int i = 0; i < pairs; i++) {
        PyThreadState *state = PyEval_SaveThread();
        state->gilstate_counter++;
        PyEval_RestoreThread(state);
        PyGILState_Release(PyGILState_UNLOCKED);
        PyEval_RestoreThread(state);
    }
}

/* A call-back that calls back, to that depth: pairs of all levels. */
#define DEPTH(levels)                              \
    static void depth##levels(int pairs) {         \
        PyGILState_STATE ensured[levels];          \
        for (int i = 0; i < pairs; i += levels) {  \
            for (int at = 0; at < levels; at++)    \
                ensured[at] = PyGILState_Ensure(); \
            for (int at = levels; at-- > 0;)       \
                PyGILState_Release(ensured[at]);   \
        }                                          \
    }
DEPTH(1)
DEPTH(2)
DEPTH(4)
DEPTH(8)
DEPTH(16)
DEPTH(32)

/* A state of a thread's own, made and ended by hand. */
static void made(int pairs) {
    for (int i = 0; i < pairs; i++) {
        PyThreadState *state = PyThreadState_New(PyInterpreterState_Head());
        PyEval_AcquireThread(state);
        PyThreadState_Clear(state);
        PyThreadState_DeleteCurrent();
    }
}

/* As CPython's documentation had it up to 2.7 and 3.1. */
static void made_old(int pairs) {
    for (int i = 0; i < pairs; i++) {
        PyThreadState *state = PyThreadState_New(PyInterpreterState_Head());
        PyEval_AcquireThread(state);
        PyThreadState_Clear(state);
        PyEval_ReleaseThread(state);
        PyThreadState_Delete(state);
    }
}

/* As pybind11's gil_scoped_acquire enters Python on a thread that has no state: the same, filed under its key. */
static void made_filed(int pairs) {
#if PY_VERSION_HEX >= 0x03070000
    static Py_tss_t tss = Py_tss_NEEDS_INIT;
    PyThread_tss_create(&tss);
    for (int i = 0; i < pairs; i++) {
        PyThreadState *state = PyThread_tss_get(&tss);
        if (!state && !PyGILState_GetThisThreadState()) {
            state = PyThreadState_New(PyInterpreterState_Head());
            PyThread_tss_set(&tss, state);
        }
        PyEval_AcquireThread(state);
        PyThreadState_Clear(state);
        PyThreadState_DeleteCurrent();
        PyThread_tss_set(&tss, NULL);
    }
#else
    made(pairs);
#endif
}

/* A state that another thread has made for this one, as embedders do: attached and detached. */
static PyThreadState *handed_over;
static void *make_to_hand_over(void *unused) {
    PyGILState_STATE ensured = PyGILState_Ensure(); /* else it would be this thread's */
    handed_over = PyThreadState_New(PyInterpreterState_Head());
    PyGILState_Release(ensured);
    return unused;
}
static void handed(int pairs) {
    if (!handed_over) {
        pthread_t thread;
        pthread_create(&thread, NULL, make_to_hand_over, NULL);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < pairs; i++) {
        PyEval_AcquireThread(handed_over);
        PyEval_ReleaseThread(handed_over);
    }
}

/* How it looks for the state of a thread: its own key, in which the attached one is. */
static void key(int pairs) {
#if PY_VERSION_HEX >= 0x03070000
    static Py_tss_t tss = Py_tss_NEEDS_INIT;
    PyThread_tss_create(&tss);
    PyThread_tss_set(&tss, PyThreadState_Get());
    for (int i = 0; i < pairs; i++)
        PyThread_tss_get(&tss);
    PyThread_tss_set(&tss, NULL);
#else
    (void)pairs;
#endif
}

/* The same on a thread that has filed nothing in it: one of Python's own. */
#if PY_VERSION_HEX >= 0x03070000
static Py_tss_t unfiled_tss = Py_tss_NEEDS_INIT;
static void *file_elsewhere(void *unused) {
    PyGILState_STATE ensured = PyGILState_Ensure();
    PyThread_tss_set(&unfiled_tss, PyGILState_GetThisThreadState());
    PyThread_tss_set(&unfiled_tss, NULL);
    PyGILState_Release(ensured);
    return unused;
}
#endif
static void key_unfiled(int pairs) {
#if PY_VERSION_HEX >= 0x03070000
    if (!PyThread_tss_is_created(&unfiled_tss)) {
        pthread_t thread;
        PyThread_tss_create(&unfiled_tss);
        PyThreadState *saved = PyEval_SaveThread();
        pthread_create(&thread, NULL, file_elsewhere, NULL);
        pthread_join(thread, NULL);
        PyEval_RestoreThread(saved);
    }
    for (int i = 0; i < pairs; i++)
        PyThread_tss_get(&unfiled_tss);
#else
    (void)pairs;
#endif
}

/* As nested, on a thread whose state a pybind11 module has filed: every thread that imports one. */
static void filed(int pairs) {
#if PY_VERSION_HEX >= 0x03070000
    static Py_tss_t tss = Py_tss_NEEDS_INIT;
    if (!PyThread_tss_is_created(&tss)) {
        PyThread_tss_create(&tss);
        PyThread_tss_set(&tss, PyGILState_GetThisThreadState());
    }
#endif
    nested(pairs);
}

/* One call of a function that does next to nothing: what check=calls adds to any call. */
static void one_call(int calls) {
    static PyObject *empty;
    if (!empty)
        empty = PyTuple_New(0);
    Py_ssize_t sum = 0;
    for (int i = 0; i < calls; i++)
        sum += PyTuple_Size(empty);
    if (sum)
        Py_FatalError("an empty tuple has a size");
}

/* ---- the condition of the thread around them ----------------------------------------------------------------------- */

enum condition {
    ATTACHED, /* a thread with one state, which is attached */
    DETACHED, /* saved away */
    FOREIGN,  /* a thread that has no state */
    SECOND,   /* another state of the thread is attached, in place of its own */
};

static const struct bench {
    const char *name;
    void (*run)(int pairs);
    enum condition condition;
} benches[] = {
    {"nested", nested, ATTACHED}, /* Ensure/Release under an attached state */
    {"save_restore", save_restore, ATTACHED},
    {"acquire_release", acquire_release, ATTACHED},
    {"swap", swap, ATTACHED},
    {"check", check, ATTACHED},
    {"attach", nested, DETACHED}, /* Ensure/Release on a thread whose own state is saved away */
    {"foreign", nested, FOREIGN}, /* Ensure/Release on a thread without: a new state each time */
    {"callback", callback, FOREIGN},
    {"restored", restored, ATTACHED},
    {"made", made, FOREIGN},
    {"made_old", made_old, FOREIGN},
    {"made_filed", made_filed, FOREIGN},
    {"handed", handed, FOREIGN},
    {"key", key, ATTACHED},
    {"key_unfiled", key_unfiled, ATTACHED},
    {"one_call", one_call, ATTACHED},
    {"depth1", depth1, DETACHED},
    {"depth2", depth2, DETACHED},
    {"depth4", depth4, DETACHED},
    {"depth8", depth8, DETACHED},
    {"depth16", depth16, DETACHED},
    {"depth32", depth32, DETACHED},
    {"attach_filed", filed, DETACHED},
    {"second_nested", nested, SECOND}, /* as nested and save_restore; bare, the first hangs up to 3.11 */
    {"second_save", save_restore, SECOND},
};

static PyThreadState *swap_in_second(PyThreadState **own) {
    *own = PyThreadState_Get();
    PyThreadState *second = PyThreadState_New(PyInterpreterState_Head());
    PyThreadState_Swap(second);
    return second;
}

static void swap_out_second(PyThreadState *second, PyThreadState *own) {
    PyThreadState_Swap(own);
    PyThreadState_Clear(second);
    PyThreadState_Delete(second);
}

/* ---- measuring ----------------------------------------------------------------------------------------------------- */

/* Nothing that batches have in common is in the measured time; a batch takes at most about 20 us. */
static double measure(const struct bench *bench, int batches) {
    int pairs = 32; /* a multiple of each depth */
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

/* The first pairs resolve symbols and let the shim learn. */
static void count(const struct bench *bench, int pairs) {
    bench->run(10);
    CALLGRIND_ZERO_STATS;
    bench->run(pairs);
    CALLGRIND_DUMP_STATS_AT(bench->name);
}

struct job {
    const struct bench *bench;
    bool is_count;
    int number; /* of batches, or of pairs */
    double result;
};

static void *work(void *argument) {
    struct job *job = argument;
    if (job->is_count)
        count(job->bench, job->number);
    else
        job->result = measure(job->bench, job->number);
    return NULL;
}

static void run(struct job *job) {
    enum condition condition = job->bench->condition;
    PyThreadState *state = NULL, *second = NULL;
    pthread_t thread;
    if (condition == DETACHED || condition == FOREIGN)
        state = PyEval_SaveThread();
    if (condition == SECOND)
        second = swap_in_second(&state);
    if (condition == FOREIGN && pthread_create(&thread, NULL, work, job) == 0)
        pthread_join(thread, NULL);
    else
        work(job);
    if (second)
        swap_out_second(second, state);
    else if (state)
        PyEval_RestoreThread(state);
}

static double answer(const char *line) {
    char how[10], name[40];
    int number;
    double seconds;
    if (sscanf(line, "threads %39s %d %lf", name, &number, &seconds) == 3)
        return throughput(name, number, seconds);
    if (sscanf(line, "scale %39s %d", name, &number) == 2)
        return at_scale(name, number);
    if (sscanf(line, "%9s %39s %d", how, name, &number) != 3)
        return -1;
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        if (strcmp(benches[i].name, name) == 0) {
            struct job job = {&benches[i], strcmp(how, "count") == 0, number, 0};
            run(&job);
            return job.result;
        }
    }
    return -1;
}

static void *wait_for_ever(void *unused) {
    for (;;)
        pause();
    return unused;
}

/* glibc takes a lock in half the time as long as the process has never had a second thread, which no program with a GIL to
 * fight for is like. */
static void be_threaded(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) == 0)
        pthread_detach(thread);
}

static PyObject *serve(PyObject *self, PyObject *args) {
    (void)self;
    (void)args;
    char line[100];
    be_threaded();
#if PY_VERSION_HEX < 0x03070000
    PyEval_InitThreads();
#endif
    while (fgets(line, sizeof line, stdin)) {
        printf("%.3f\n", answer(line));
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
