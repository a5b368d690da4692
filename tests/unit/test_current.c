/* Where the attached state of each thread is, in a libpython that is opened late: tests/unit/late.c, as compilers make it for each
 * model of thread-locals. argv: its files. */
#include "cpython/current.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "test.h"

struct real real;
struct real_status real_status = {.binding = REAL_LATE};
bool interp_slot_follows = true;

static void *(*attached)(void);
static void (*attach)(void *);

PyThreadState *interp_current(void) {
    return attached();
}

const void *slot_in_tls(void) {
    return NULL;
}

static struct thread {
    pthread_t id;
    sem_t starts, is_attached, ends;
} older, newer, untouched;

static void *use(void *argument) {
    struct thread *thread = argument;
    sem_wait(&thread->starts);
    if (thread != &untouched) {
        attach(thread); /* stands for the state */
    }
    sem_post(&thread->is_attached);
    sem_wait(&thread->ends);
    return NULL;
}

static void start(struct thread *thread) {
    sem_init(&thread->starts, 0, 0);
    sem_init(&thread->is_attached, 0, 0);
    sem_init(&thread->ends, 0, 0);
    pthread_create(&thread->id, NULL, use, thread);
}

static void go_on(struct thread *thread) {
    sem_post(&thread->starts);
    sem_wait(&thread->is_attached);
}

static void end(struct thread *thread) {
    sem_post(&thread->ends);
    pthread_join(thread->id, NULL);
}

static void *learn(void *unused) {
    current_learn_aside();
    return unused;
}

static const void *found(pthread_t thread) {
    void *const *place = current_place_of((uintptr_t)thread);
    return place ? *place : NULL;
}

static const char *file;

/* The thread that looks is newer than the libpython, as the shim's are. */
static void is_found_on_every_thread(void) {
    static int mine;
    pthread_t aside;
    start(&older);
    start(&untouched);
    void *late = dlopen(file, RTLD_NOW);
    CHECK(late);
    *(void **)&attached = dlsym(late, "late_attached");
    *(void **)&attach = dlsym(late, "late_attach");
    *(void **)&real.Py_IsInitialized = dlsym(late, "late_attached"); /* an address in it */
    current_forget();
    CHECK(!current_place_of((uintptr_t)pthread_self()));
    start(&newer);
    pthread_create(&aside, NULL, learn, NULL);
    pthread_join(aside, NULL);
    attach(&mine);
    go_on(&older);
    go_on(&newer);
    go_on(&untouched);
    CHECK(found(pthread_self()) == &mine);
    CHECK(found(older.id) == &older);
    CHECK(found(newer.id) == &newer);
    CHECK(!found(untouched.id));
    CHECK(!current_find()); /* it may be closed */
    end(&older);
    end(&newer);
    end(&untouched);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        file = argv[i];
        printf("# %s\n", file);
        RUN(is_found_on_every_thread);
    }
    return test_end();
}
