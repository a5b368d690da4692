#include "system/thread.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile pid_t sleeper, joiner;

static pid_t me(void) {
    return (pid_t)syscall(SYS_gettid);
}

static void *sleep_in_mutex(void *unused) {
    sleeper = me();
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void *join(void *thread) {
    joiner = me();
    pthread_join(*(pthread_t *)thread, NULL);
    return NULL;
}

/* Looks until the thread sleeps in a futex. */
static struct thread_look look_asleep(const volatile pid_t *tid) {
    struct thread_look look = {0};
    for (int i = 0; i < 30000; i++) {
        if (*tid && thread_look(*tid, &look) && thread_is_in_futex(&look)) {
            return look;
        }
        usleep(1000);
    }
    return look;
}

static void tells_owner_and_joined(void) {
    pthread_t threads[2];
    pid_t owner;
    pthread_mutex_lock(&mutex);
    pthread_create(&threads[0], NULL, sleep_in_mutex, NULL);
    pthread_create(&threads[1], NULL, join, &threads[0]);
    struct thread_look look = look_asleep(&sleeper);
    CHECK(thread_waits_for(&look, &owner) == THREAD_WAITS_MUTEX && owner == me());
    CHECK(look.arguments[0] == (uintptr_t)&mutex && look.stack);
    look = look_asleep(&joiner);
    CHECK(thread_waits_for(&look, &owner) == THREAD_WAITS_THREAD && owner == sleeper);
    pthread_mutex_unlock(&mutex);
    pthread_join(threads[1], NULL);
    CHECK(!thread_look(joiner, &look) || look.state == 'X' || look.state == 'Z');
}

static void *take_and_wait(void *condition) {
    static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&own);
    sleeper = me();
    while (!joiner) {
        pthread_cond_wait(condition, &own);
    }
    pthread_mutex_unlock(&own);
    return NULL;
}

/* A condition variable is no mutex, whatever its words are. */
static void takes_nothing_else_for_a_mutex(void) {
    static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    pthread_t thread;
    pid_t owner;
    sleeper = joiner = 0;
    pthread_create(&thread, NULL, take_and_wait, &condition);
    struct thread_look look = look_asleep(&sleeper);
    CHECK(thread_waits_for(&look, &owner) == THREAD_IN_CALL && owner == 0);
    joiner = 1;
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        pthread_cond_broadcast(&condition);
        usleep(1000);
    }
}

static void lists_threads(void) {
    pid_t tids[4] = {0};
    CHECK(thread_list(tids, 4) >= 1 && tids[0] == getpid());
    CHECK(thread_list(tids, 0) >= 1);
    CHECK(thread_exists(me()) && !thread_exists(0) && !thread_exists(-1));
    CHECK(thread_cpu_time(me()) > 0);
    struct thread_look look;
    CHECK(thread_look(me(), &look) && look.tid == me() && look.state == 'R');
    CHECK(!thread_look(0x3ffffff, &look) && thread_cpu_time(0x3ffffff) == 0);
}

/* From `end` on there is no memory. */
static void reads_strings(char *end) {
    char bytes[16];
    strcpy(end - 6, "five");
    CHECK(thread_read_string(end - 6, bytes, 16) && strcmp(bytes, "five") == 0);
    CHECK(thread_read_string(end - 6, bytes, 3) && strcmp(bytes, "fi") == 0);
    memset(end - 6, 'x', 6); /* its end would be in memory that is not there */
    CHECK(thread_read_string(end - 6, bytes, 16) && strcmp(bytes, "xxxxxx") == 0);
    CHECK(!thread_read_string(end, bytes, 16) && !thread_read_string(NULL, bytes, 16));
    CHECK(thread_read_string("", bytes, 16) && !bytes[0]);
}
static void *by_file(void *end) {
    thread_reads_by_file();
    reads_strings(end);
    return NULL;
}

static void reads_what_is_mapped(void) {
    int value = 7, copy = 0;
    CHECK(thread_read_memory(&value, &copy, sizeof copy) && copy == 7);
    CHECK(!thread_read_memory(NULL, &copy, sizeof copy));
    /* A large hole: glibc 2.41 maps a page of its own for getrandom, which the kernel puts at the end of one. */
    enum { HOLE = 1 << 20 };
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *end = (char *)mmap(NULL, page + HOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + page;
    munmap(end, HOLE);
    char bytes[16];
    CHECK(thread_read_memory(end - 16, bytes, 16));
    CHECK(!thread_read_memory(end - 8, bytes, 16) && !thread_read_memory(end, bytes, 16));
    reads_strings(end);
    pthread_t reader;
    CHECK(pthread_create(&reader, NULL, by_file, end) == 0 && pthread_join(reader, NULL) == 0);
}

static void names_calls(void) {
    char buffer[64];
    struct text text = text_start(buffer, sizeof buffer);
    thread_add_call(&text, SYS_futex);
    text_add(&text, " ");
    thread_add_call(&text, 99999);
    CHECK(strcmp(text_end(&text), "futex system call 99999") == 0);
}

int main(void) {
    RUN(tells_owner_and_joined);
    RUN(takes_nothing_else_for_a_mutex);
    RUN(lists_threads);
    RUN(reads_what_is_mapped);
    RUN(names_calls);
    return test_end();
}
