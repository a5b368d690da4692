/* What a pair of lock and unlock costs: the minimum over batches, in nanoseconds. Called by tests/bench/locks. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 200, BATCHES = 400 };

static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER, inner = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void mutex_pair(void) {
    pthread_mutex_lock(&outer);
    pthread_mutex_unlock(&outer);
}

static void nested_pair(void) {
    pthread_mutex_lock(&inner);
    pthread_mutex_unlock(&inner);
}

static void read_pair(void) {
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
}

static void free_pair(void) {
    void *memory = malloc(100);
    __asm__ volatile("" : : "r"(memory) : "memory");
    free(memory);
}

static double measure(void (*pair)(void)) {
    double best = 1e18;
    for (int batch = 0; batch < BATCHES; batch++) {
        double begun = now();
        for (int i = 0; i < BATCH; i++)
            pair();
        double took = (now() - begun) / BATCH;
        best = took < best ? took : best;
    }
    return best;
}

/* A lock of each thread's own: the threads share nothing but what the checker shares. */
static void *own_pairs(void *result) {
    pthread_mutex_t *own = malloc(sizeof *own);
    pthread_mutex_init(own, NULL);
    double best = 1e18;
    for (int batch = 0; batch < BATCHES; batch++) {
        double begun = now();
        for (int i = 0; i < BATCH; i++) {
            pthread_mutex_lock(own);
            pthread_mutex_unlock(own);
        }
        double took = (now() - begun) / BATCH;
        best = took < best ? took : best;
    }
    *(double *)result = best;
    free(own);
    return NULL;
}

/* The mean of the threads' minima; in CPU time, so that waiting for a processor does not count. */
static double threads(int count) {
    pthread_t ids[64];
    double results[64], sum = 0;
    for (int i = 0; i < count; i++)
        pthread_create(&ids[i], NULL, own_pairs, &results[i]);
    for (int i = 0; i < count; i++) {
        pthread_join(ids[i], NULL);
        sum += results[i];
    }
    return sum / count;
}

double lock_bench(const char *what);
double lock_bench(const char *what) {
    if (strcmp(what, "mutex") == 0)
        return measure(mutex_pair);
    if (strcmp(what, "rwlock") == 0)
        return measure(read_pair);
    if (strcmp(what, "free") == 0)
        return measure(free_pair);
    if (strcmp(what, "nested") == 0) {
        pthread_mutex_lock(&outer);
        double took = measure(nested_pair);
        pthread_mutex_unlock(&outer);
        return took;
    }
    return threads(atoi(what));
}
