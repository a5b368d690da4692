#include "background.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "aside.h"
#include "thread.h"

enum { STACK_SIZE = 512 * 1024, NICE = 10 };

static int running;

struct job {
    void (*run)(void);
    const char *name;
};

static void *run_job(void *argument) {
    struct job *place = argument;
    struct job job = {.run = __atomic_load_n(&place->run, __ATOMIC_RELAXED), .name = place->name};
    __atomic_store_n(&place->run, NULL, __ATOMIC_RELEASE); /* it may be used again */
    aside_not_needed();
    pthread_setname_np(pthread_self(), job.name);
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    job.run();
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* The small stack may be too small for the thread-local storage of a host with large libraries: then as the host's own. */
static bool create(pthread_t *thread, struct job *job) {
    pthread_attr_t attributes;
    bool is_made = false;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        is_made = pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
                  pthread_create(thread, &attributes, run_job, job) == 0;
        pthread_attr_destroy(&attributes);
    }
    if (!is_made && pthread_create(thread, NULL, run_job, job) == 0) {
        pthread_detach(*thread);
        is_made = true;
    }
    return is_made;
}

bool background_start(void (*run)(void), const char *name) {
    static struct job jobs[4];
    struct job *job = NULL;
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0] && !job; i++) {
        void (*none)(void) = NULL;
        if (__atomic_compare_exchange_n(&jobs[i].run, &none, run, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            job = &jobs[i];
        }
    }
    if (!job) {
        return false;
    }
    int saved_errno = errno;
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    job->name = name;
    __atomic_add_fetch(&running, 1, __ATOMIC_RELAXED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_made = create(&thread, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!is_made) {
        __atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&job->run, NULL, __ATOMIC_RELEASE);
    }
    errno = saved_errno;
    return is_made;
}

bool background_is_alone(void) {
    struct stat tasks;
    struct thread_look look;
    if (stat("/proc/self/task", &tasks) != 0) {
        return false;
    }
    /* Two links, and one for each thread. */
    int threads = (int)tasks.st_nlink - 2;
    return threads <= __atomic_load_n(&running, __ATOMIC_RELAXED) + 1 && thread_look(getpid(), &look) &&
           look.state == 'Z';
}

void background_forked(void) {
    __atomic_store_n(&running, 0, __ATOMIC_RELAXED);
}

void background_sleep(uint64_t nanoseconds) {
    struct timespec time = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    nanosleep(&time, NULL);
}
