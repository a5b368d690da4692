/* The gilstate slot of 3.15 and later, a thread-local of CPython's, in a libpython that is opened late: tests/unit/late.c, as compilers
 * make it for each model of thread-locals. argv: its files. */
#include "cpython/slot.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>

#include "cpython/bound.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "test.h"

struct real real;
struct real_status real_status = {.binding = REAL_LATE};
bool interp_slot_follows = true;

static void (*attach)(void *);

bool bound_is_clear(const PyThreadState *state) {
    return !state;
}

uint32_t interp_next_epoch(void) {
    return 1;
}

static int first, second; /* their addresses stand for thread states */

static void moves_there_and_back(void) {
    CHECK(slot_get() == (PyThreadState *)&first);
    CHECK(slot_in_tls());
    CHECK(slot_set((PyThreadState *)&second) && slot_get() == (PyThreadState *)&second);
    CHECK(slot_set((PyThreadState *)&first) && slot_get() == (PyThreadState *)&first);
}

static sem_t starts;

static void *use(void *waits) {
    if (waits) {
        sem_wait(&starts);
    }
    attach(&first);
    moves_there_and_back();
    return NULL;
}

static const char *file;

static void is_set_on_every_thread(void) {
    pthread_t older, newer;
    sem_init(&starts, 0, 0);
    pthread_create(&older, NULL, use, &starts);
    void *late = dlopen(file, RTLD_NOW);
    CHECK(late);
    *(void **)&attach = dlsym(late, "late_attach");
    *(void **)&real.PyGILState_GetThisThreadState = dlsym(late, "late_attached");
    *(void **)&real.Py_IsInitialized = dlsym(late, "late_attached"); /* an address in it */
    slot_forget();
    CHECK(!slot_in_tls());
    attach(&first);
    slot_learn();
    CHECK(slot_is_known());
    moves_there_and_back();
    sem_post(&starts);
    pthread_join(older, NULL);
    pthread_create(&newer, NULL, use, NULL);
    pthread_join(newer, NULL);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        file = argv[i];
        printf("# %s\n", file);
        RUN(is_set_on_every_thread);
    }
    return test_end();
}
