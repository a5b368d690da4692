#include "process/background.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "system/aside.h"
#include "system/dlsym_hook.h"
#include "system/thread.h"
#include "system/ticks.h"

enum { STACK_SIZE = 512 * 1024 };

bool background_has_company;

static int running;
static pthread_t first_thread;

void background_prepare(void) {
    first_thread = pthread_self();
}

bool background_may_start(void) {
    return __atomic_load_n(&background_has_company, __ATOMIC_RELAXED) || !pthread_equal(first_thread, pthread_self());
}

struct job {
    void (*run)(void);
    const char *name;
};

static void *run_job(void *argument) {
    struct job *place = argument;
    struct job job = {.run = __atomic_load_n(&place->run, __ATOMIC_RELAXED), .name = place->name};
    __atomic_store_n(&place->run, NULL, __ATOMIC_RELEASE); /* the slot may be used again */
    aside_not_needed();
    thread_take_name(job.name);
    thread_reads_by_file();
    job.run();
    __atomic_sub_fetch(&running, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Creates a detached thread with a small stack. That stack may be too small for the thread-local storage of a host with
 * large libraries. The thread then gets a default stack, like one of the host's own. */
static bool create(pthread_t *thread, struct job *job) {
    pthread_attr_t attributes;
    bool is_made = false;
    if (pthread_attr_init(&attributes) == 0) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        is_made = pthread_attr_setstacksize(&attributes, STACK_SIZE) == 0 &&
                  libc_first_pthread_create(thread, &attributes, run_job, job) == 0;
        pthread_attr_destroy(&attributes);
    }
    if (!is_made && libc_first_pthread_create(thread, NULL, run_job, job) == 0) {
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

static bool is_alone(void) {
    struct stat tasks;
    struct thread_look look;
    if (stat("/proc/self/task", &tasks) != 0) {
        return false;
    }
    /* The folder has two links, and one more for each thread. */
    int threads = (int)tasks.st_nlink - 2;
    return threads <= __atomic_load_n(&running, __ATOMIC_RELAXED) + 1 && thread_look(getpid(), &look) &&
           look.state == 'Z';
}

/* Returns why the calling thread of ours must end, or NULL. It must end without /proc, because nobody could then tell
 * when the host's last thread has ended. */
static const char *reason_to_end(void) {
    if (!thread_has_same_privileges(getpid(), (pid_t)syscall(SYS_gettid))) {
        struct thread_look look;
        return thread_look(getpid(), &look) ? "the program has given up privileges that this thread would keep"
                                            : "/proc is not there";
    }
    return NULL;
}

bool background_may_go_on(const char **reason) {
    enum { INTERVAL = 50000000 };
    static __thread uint64_t next __attribute__((tls_model("initial-exec")));
    uint64_t now = ticks_monotonic();
    *reason = NULL;
    if (is_alone()) {
        return false;
    }
    if (now >= next) {
        next = now + INTERVAL;
        *reason = reason_to_end();
    }
    return !*reason;
}

void background_forked(void) {
    __atomic_store_n(&running, 0, __ATOMIC_RELAXED);
    background_has_company = false;
    first_thread = pthread_self();
}

void background_sleep(uint64_t nanoseconds) {
    struct timespec time = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL); /* libc's is a cancellation point */
}
