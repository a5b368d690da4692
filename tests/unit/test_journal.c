#include "journal/journal.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/journal_store.h"
#include "journal/modules.h"
#include "system/signal_stack.h"
#include "system/symbol.h"
#include "test.h"

void symbol_add_library(struct text *text, const void *address) {
    (void)address;
    text_add(text, "x");
}

void signal_stack_give(void) {
}

static const void *const state = (const void *)0x1000, *const caller = (const void *)(uintptr_t)0x2000;

static unsigned read_own(struct journal_event *events, unsigned *torn) {
    int index = journal_find(gettid());
    return index < 0 ? 0 : journal_read_events((unsigned)index, events, 64, torn);
}

static void keeps_the_last(void) {
    struct journal_event events[64];
    unsigned torn;
    for (int i = 0; i < 100; i++)
        journal_note(JOURNAL_NEW, 3, (uint8_t)i, state, caller);
    CHECK(read_own(events, &torn) == 16 && torn == 0);
    CHECK(events[15].detail == 99 && events[0].detail == 84 && events[15].number == 100);
    CHECK(events[15].state == state && events[15].caller == caller && events[15].call == 3);
    CHECK(events[0].time <= events[15].time);
}

static void says_what_it_does_now(void) {
    uint64_t begun = journal_waits(5, state, caller);
    CHECK(journal_now().phase == JOURNAL_WAITS && journal_now().call == 5);
    journal_attached(JOURNAL_ATTACH, 5, 0, state, NULL, caller, begun);
    CHECK(journal_now().phase == JOURNAL_HOLDS && journal_now().state == state);
    journal_detaches(JOURNAL_DETACH, 4, 0, state, caller);
    CHECK(journal_now().phase == JOURNAL_OUTSIDE);
    struct journal_thread thread;
    CHECK(journal_read_thread((unsigned)journal_find(gettid()), &thread));
    CHECK(thread.totals.acquisitions == 1 && thread.totals.holds == 1 && !thread.has_ended);
    struct journal_event event;
    unsigned index;
    CHECK(journal_find_attach(state, &event, &index) && event.kind == JOURNAL_ATTACH);
    CHECK(!journal_find_attach(caller, &event, &index));
}

static pid_t ended_tid;
static void *write_some(void *argument) {
    for (int i = 0; i < 20000; i++)
        journal_note(JOURNAL_NEW, 1, (uint8_t)i, (const void *)(uintptr_t)(i + 1), (const void *)(uintptr_t)(i + 1));
    ended_tid = gettid();
    return argument;
}

/* What is read is whole, however fast it is overwritten. */
static void no_torn_event_gets_out(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, write_some, NULL);
    for (int round = 0; round < 2000; round++) {
        for (unsigned index = 0; index < journal_count(); index++) {
            struct journal_event events[64];
            unsigned torn, count = journal_read_events(index, events, 64, &torn);
            for (unsigned i = 0; i < count; i++)
                CHECK(events[i].call != 1 || (events[i].state == events[i].caller &&
                                              (uint8_t)((uintptr_t)events[i].state - 1) == events[i].detail));
        }
    }
    pthread_join(thread, NULL);
    bool is_kept = false;
    for (unsigned index = 0; index < journal_count(); index++) {
        struct journal_thread record;
        is_kept = is_kept || (journal_read_thread(index, &record) && record.tid == ended_tid && record.has_ended);
    }
    CHECK(is_kept && journal_find(ended_tid) == -1);
}

static void *write_one(void *argument) {
    journal_note(JOURNAL_NEW, 1, 0, state, caller);
    return argument;
}

static void records_are_used_again(void) {
    for (int i = 0; i < 1000; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_one, NULL);
        pthread_join(thread, NULL);
    }
    CHECK(journal_count() < 200 && journal_unrecorded() == 0 && journal_seen() >= 1000);
}

static void a_fork_child_begins_anew(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct journal_event events[64];
        struct journal_thread thread;
        unsigned torn, count = read_own(events, &torn);
        bool is_right = count && events[count - 1].kind == JOURNAL_FORK && journal_seen() == 1;
        is_right = is_right && journal_read_thread((unsigned)journal_find(gettid()), &thread);
        _exit(is_right && thread.totals.acquisitions == 0 ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
}

/* ---- memory */

enum { CROWD = 700 };
static pthread_barrier_t all_are_there;

static void *write_one_and_wait(void *argument) {
    journal_note(JOURNAL_NEW, 1, 0, state, caller);
    pthread_barrier_wait(&all_are_there);
    pthread_barrier_wait(&all_are_there);
    return argument;
}

static unsigned pages_of(const struct journal_record *record) {
    unsigned char resident[4096 * sizeof(struct journal_event) / 4096];
    size_t size = record->ring_size * sizeof(struct journal_event);
    unsigned count = 0;
    if (mincore(record->ring, size, resident) == 0)
        for (size_t i = 0; i < (size + 4095) / 4096; i++)
            count += resident[i] & 1;
    return count;
}

/* In a child: with long rings, whose pages come as they are used, and less of them where threads are many. */
static int play_crowd(void) {
    pthread_t threads[CROWD];
    pthread_attr_t small;
    unsigned before = journal_count(), most = 0;
    journal_store.ring_size = 4096;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 * 1024);
    pthread_barrier_init(&all_are_there, NULL, CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        if (pthread_create(&threads[i], &small, write_one_and_wait, NULL) != 0)
            return 2;
    pthread_barrier_wait(&all_are_there);
    for (unsigned i = before; i < journal_count(); i++) {
        unsigned pages = pages_of(journal_record_at(i));
        most = pages > most ? pages : most;
    }
    bool is_bounded = journal_store.rings_memory <= (64u << 20) + CROWD * 16 * sizeof(struct journal_event);
    bool is_long = journal_record_at(before)->ring_size == 4096 && journal_record_at(before + 100)->ring_size == 4096;
    pthread_barrier_wait(&all_are_there);
    for (int i = 0; i < CROWD; i++)
        pthread_join(threads[i], NULL);
    return journal_count() - before > CROWD / 2 && most <= 1 && is_bounded && is_long ? 0 : 1;
}

/* A ring that was full gives its pages back when its record is used again. */
static int play_full_ring(void) {
    pthread_t thread;
    journal_store.ring_size = 4096;
    for (int i = 0; i < 400; i++) {
        pthread_create(&thread, NULL, i == 0 ? write_some : write_one, NULL);
        pthread_join(thread, NULL);
    }
    for (unsigned i = 0; i < journal_count(); i++)
        if (journal_record_at(i)->ring_size == 4096 && pages_of(journal_record_at(i)) > 1)
            return 1;
    return 0;
}

static int in_child(int (*play)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(play());
    int status = 1;
    waitpid(child, &status, 0);
    return status;
}

static void rings_take_memory_as_they_fill(void) {
    CHECK(in_child(play_crowd) == 0);
    CHECK(in_child(play_full_ring) == 0);
}

int main(void) {
    journal_start(16, true, true);
    RUN(keeps_the_last);
    RUN(says_what_it_does_now);
    RUN(no_torn_event_gets_out);
    RUN(records_are_used_again);
    RUN(a_fork_child_begins_anew);
    RUN(rings_take_memory_as_they_fill);
    return test_end();
}
