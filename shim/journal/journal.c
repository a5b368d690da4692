#include "journal/journal.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "journal/journal_store.h"
#include "journal/modules.h"
#include "system/list.h"
#include "system/loader.h"
#include "system/signal_stack.h"
#include "system/thread.h"
#include "system/ticks.h"

enum { KEPT_ENDED = 64, EVENTS_MAX = 65536, EVENTS_MIN = 16 };

/* memory: what all rings may take together. share: one ring may take 1/share of what is left. Long rings may take more
 * in all, but smaller parts of it. */
static struct { size_t memory, share; } rings = {64 << 20, 16};

struct journal_store journal_store = {.ring_size = EVENTS_MIN, .layout = JOURNAL_LAYOUT};
bool journal_is_on;
bool journal_is_parallel;
void (*journal_before_end)(bool is_last);
void (*journal_filled_quarter)(void);

static unsigned reuse_from; /* where the search for an ended record starts; it goes round, so about the oldest goes */
static unsigned ended_count;
static pthread_key_t exit_key;
static bool can_record;
static bool keeps_names;

static __thread struct {
    struct journal_record *record;
    bool is_gone; /* the thread has given up its record, or can have none */
} self __attribute__((tls_model("initial-exec")));

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* Adds a record after the last one. Returns NULL if there is no room or no memory. */
static struct journal_record *add_record(void) {
    unsigned index = __atomic_load_n(&journal_store.record_count, __ATOMIC_RELAXED);
    do {
        if (index >= JOURNAL_CHUNKS * JOURNAL_CHUNK_RECORDS) {
            return NULL;
        }
        struct journal_record **place = &journal_store.chunks[index / JOURNAL_CHUNK_RECORDS];
        if (!__atomic_load_n(place, __ATOMIC_ACQUIRE)) {
            struct journal_record *fresh = list_map_pages(JOURNAL_CHUNK_RECORDS * sizeof *fresh);
            struct journal_record *expected = NULL;
            if (!fresh) {
                return NULL;
            }
            if (!__atomic_compare_exchange_n(place, &expected, fresh, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
                munmap(fresh, JOURNAL_CHUNK_RECORDS * sizeof *fresh);
            }
        }
    } while (!__atomic_compare_exchange_n(&journal_store.record_count, &index, index + 1, false, __ATOMIC_ACQ_REL,
                                          __ATOMIC_RELAXED));
    return journal_record_at(index);
}

/* Returns a record whose thread has ended, or NULL. */
static struct journal_record *reuse_record(void) {
    unsigned count = __atomic_load_n(&journal_store.record_count, __ATOMIC_ACQUIRE);
    unsigned from = __atomic_load_n(&reuse_from, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        unsigned index = (from + i) % count;
        struct journal_record *record = journal_record_at(index);
        uint32_t expected = JOURNAL_ENDED;
        if (record && __atomic_load_n(&record->status, __ATOMIC_RELAXED) == JOURNAL_ENDED &&
            __atomic_compare_exchange_n(&record->status, &expected, JOURNAL_UNUSED, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            __atomic_store_n(&reuse_from, index + 1, __ATOMIC_RELAXED);
            __atomic_sub_fetch(&ended_count, 1, __ATOMIC_RELAXED);
            return record;
        }
    }
    return NULL;
}

NO_TSAN static inline void begin_writing(struct journal_record *record) {
    uint32_t sequence = __atomic_load_n(&record->sequence, __ATOMIC_RELAXED);
    __atomic_store_n(&record->sequence, sequence | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/* Reads the sequence number again: a signal handler may have written since begin_writing. */
NO_TSAN static inline void end_writing(struct journal_record *record) {
    uint32_t sequence = __atomic_load_n(&record->sequence, __ATOMIC_RELAXED);
    __atomic_store_n(&record->sequence, (sequence | 1) + 1, __ATOMIC_RELEASE);
}

/* Makes a ring for a new record. Returns false without memory. If there are many threads, the later ones have shorter
 * rings: each may take its share of what is left, but has at least EVENTS_MIN events. */
static bool make_ring(struct journal_record *record) {
    size_t taken = __atomic_load_n(&journal_store.rings_memory, __ATOMIC_RELAXED);
    size_t share = taken < rings.memory ? (rings.memory - taken) / rings.share : 0;
    unsigned size = journal_store.ring_size;
    while (size > EVENTS_MIN && size * sizeof *record->ring > share) {
        size /= 2;
    }
    struct journal_event *ring = list_map_pages(size * sizeof *ring);
    while (!ring && size > EVENTS_MIN) {
        size /= 2; /* the program may have a limit (RLIMIT_AS) */
        ring = list_map_pages(size * sizeof *ring);
    }
    if (ring) {
        __atomic_add_fetch(&journal_store.rings_memory, size * sizeof *ring, __ATOMIC_RELAXED);
        __atomic_store_n(&record->ring_size, size, __ATOMIC_RELAXED);
        __atomic_store_n(&record->ring, ring, __ATOMIC_RELEASE);
    }
    return ring != NULL;
}

/* Removes the events of an earlier thread. The pages go back to the kernel, which maps them again when they are
 * written. */
static void empty_ring(struct journal_record *record) {
    size_t size = record->ring_size * sizeof *record->ring;
    if (record->ring_size == EVENTS_MIN || madvise(record->ring, size, MADV_DONTNEED) != 0) {
        memset(record->ring, 0, size);
    }
}

static struct journal_record *take_record(void) {
    bool may_reuse = __atomic_load_n(&ended_count, __ATOMIC_RELAXED) >= KEPT_ENDED;
    struct journal_record *record = may_reuse ? reuse_record() : NULL;
    record = record ? record : add_record();
    record = record ? record : reuse_record();
    if (!record) {
        return NULL;
    }
    bool is_used = record->ring != NULL;
    if (!is_used && !make_ring(record)) {
        __atomic_add_fetch(&ended_count, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&record->status, JOURNAL_ENDED, __ATOMIC_RELEASE);
        return NULL;
    }
    begin_writing(record);
    struct journal_thread *thread = &record->thread;
    memset(thread, 0, sizeof *thread);
    if (is_used) {
        empty_ring(record);
    }
    thread->tid = (pid_t)syscall(SYS_gettid);
    if (keeps_names) {
        thread_read_name(thread->tid, thread->name);
    }
    thread->pthread = (uintptr_t)pthread_self();
    thread->started = ticks_now();
    thread->now.call = JOURNAL_NO_CALL;
    thread->now.since = thread->started;
    __atomic_store_n(&record->next, 1, __ATOMIC_RELAXED);
    record->quarter_at = journal_filled_quarter ? record->ring_size / 4 : 0;
    record->exit_rounds = 0;
    end_writing(record);
    __atomic_store_n(&record->status, JOURNAL_ALIVE, __ATOMIC_RELEASE);
    return record;
}

static void end_record(struct journal_record *record) {
    begin_writing(record);
    record->thread.has_ended = true;
    record->thread.ended = ticks_now();
    end_writing(record);
    __atomic_add_fetch(&ended_count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&record->status, JOURNAL_ENDED, __ATOMIC_RELEASE);
}

/* Other libraries' destructors may still call the API after this one, so it runs until the last round but one, as in
 * owner.c. */
static void thread_ends(void *argument) {
    struct journal_record *record = argument;
    if (journal_before_end && record->exit_rounds == 0) {
        journal_before_end(false);
    }
    if (record->exit_rounds++ < 2 && pthread_setspecific(exit_key, record) == 0) {
        return;
    }
    if (journal_before_end) {
        journal_before_end(true);
    }
    self.record = NULL;
    self.is_gone = true;
    end_record(record);
}

void journal_thread_vanishes(void) {
    struct journal_record *record = self.record;
    self.record = NULL;
    self.is_gone = true;
    if (record) {
        end_record(record);
    }
}

static __attribute__((noinline, cold)) struct journal_record *first_event(void) {
    if (self.is_gone || !can_record) {
        return NULL;
    }
    self.is_gone = true; /* a signal handler that comes in here does without a record */
    struct journal_record *record = take_record();
    if (record && pthread_setspecific(exit_key, record) != 0) {
        end_record(record);
        record = NULL;
    }
    if (record) {
        __atomic_add_fetch(&journal_store.seen, 1, __ATOMIC_RELAXED);
        self.record = record;
        self.is_gone = false;
        signal_stack_give();
    } else {
        __atomic_add_fetch(&journal_store.unrecorded, 1, __ATOMIC_RELAXED);
    }
    return record;
}

static inline struct journal_record *my_record(void) {
    struct journal_record *record = self.record;
    return __builtin_expect(record != NULL, 1) ? record : first_event();
}

/* The other threads are not in this process, and the counts start anew. */
static void after_fork_in_child(void) {
    struct journal_record *mine = self.record;
    ended_count = 0;
    journal_store.unrecorded = 0;
    journal_store.seen = mine != NULL;
    modules_reset();
    for (unsigned i = 0; i < journal_store.record_count; i++) {
        struct journal_record *record = journal_record_at(i);
        if (record && record != mine) {
            begin_writing(record);
            record->thread.tid = 0;
            end_writing(record);
            record->status = JOURNAL_ENDED;
            ended_count++;
        }
    }
    if (mine) {
        begin_writing(mine);
        mine->thread.tid = (pid_t)syscall(SYS_gettid);
        memset(&mine->thread.totals, 0, sizeof mine->thread.totals);
        end_writing(mine);
        journal_note(JOURNAL_FORK, JOURNAL_NO_CALL, 0, mine->thread.now.state, NULL);
    }
}

void journal_start(unsigned events, bool is_on, bool with_names) {
    ticks_start();
    keeps_names = with_names;
    events = events > EVENTS_MAX ? EVENTS_MAX : events;
    if (events > 4096) {
        rings.memory = 256 << 20;
        rings.share = 64;
    }
    while (journal_store.ring_size < events) {
        journal_store.ring_size *= 2;
    }
    can_record =
        pthread_key_create(&exit_key, thread_ends) == 0 && pthread_atfork(NULL, NULL, after_fork_in_child) == 0;
    journal_is_on = is_on && can_record;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

NO_TSAN static inline void write_event(struct journal_record *record, enum journal_kind kind, uint16_t call,
                                       uint8_t detail, const void *state, const void *interp, const void *caller,
                                       uint64_t time, uint64_t waited, bool is_later) {
    uint64_t number = record->next;
    /* This comes first, so that a signal handler that comes in takes the next place. */
    __atomic_store_n(&record->next, number + 1, __ATOMIC_RELAXED);
    struct journal_event *event = &record->ring[number & (record->ring_size - 1)];
    __atomic_store_n(&event->number, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    event->time = time;
    event->waited = waited;
    event->state = state;
    event->interp = interp;
    event->caller = caller;
    event->call = call;
    event->kind = (uint8_t)kind;
    event->detail = detail;
    event->is_later = is_later;
    __atomic_store_n(&event->number, number, __ATOMIC_RELEASE);
    if (__builtin_expect(number == record->quarter_at, 0)) {
        record->quarter_at = number + record->ring_size / 4;
        journal_filled_quarter();
    }
}

void journal_note(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller) {
    struct journal_record *record = my_record();
    if (record) {
        write_event(record, kind, call, detail, state, NULL, caller, ticks_now(), 0, false);
    }
}

NO_TSAN void journal_note_later(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state,
                                const void *caller) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    uint64_t mask = record->ring_size - 1;
    uint64_t number = record->next;
    const struct journal_event *before = &record->ring[(number - 1) & mask];
    bool is_whole = __atomic_load_n(&before->number, __ATOMIC_RELAXED) == number - 1 && before->time;
    if (!is_whole) { /* the first event, or a signal handler came in while one was written */
        journal_note(kind, call, detail, state, caller);
        return;
    }
    write_event(record, kind, call, detail, state, NULL, caller, before->time, 0, true);
}

void journal_made(enum journal_kind kind, uint16_t call, const void *state, const void *interp, const void *caller) {
    struct journal_record *record = my_record();
    if (record) {
        write_event(record, kind, call, 0, state, interp, caller, ticks_now(), 0, false);
    }
}

NO_TSAN uint64_t journal_waits(uint16_t call, const void *state, const void *caller) {
    struct journal_record *record = my_record();
    uint64_t now = ticks_now();
    if (record) {
        const struct journal_now *before = &record->thread.now;
        const void *under = before->phase == JOURNAL_HOLDS ? before->state : NULL;
        begin_writing(record);
        record->thread.now = (struct journal_now){JOURNAL_WAITS, call, state, caller, now, under};
        end_writing(record);
    }
    return now;
}

static inline uint64_t noticeable(void) {
    static uint64_t ticks;
    uint64_t known = __atomic_load_n(&ticks, __ATOMIC_RELAXED);
    if (__builtin_expect(!known, 0)) {
        uint64_t million = ticks_span_ns(1000000);
        known = million ? JOURNAL_WAIT_NS * (uint64_t)1000000 / million : JOURNAL_WAIT_NS;
        __atomic_store_n(&ticks, known ? known : 1, __ATOMIC_RELAXED);
    }
    return known;
}

/* Adds to one of a module's totals, or of a thread's. */
NO_TSAN static inline __attribute__((always_inline)) void add(uint64_t *total, uint64_t more) {
    if (__builtin_expect(journal_is_parallel, 0)) {
        __atomic_fetch_add(total, more, __ATOMIC_RELAXED);
    } else {
        *total += more;
    }
}

NO_TSAN static inline __attribute__((always_inline)) void raise_to(uint64_t *longest, uint64_t span) {
    *longest = span > *longest ? span : *longest; /* of two at the same moment, one is lost */
}

NO_TSAN static void count_wait(struct journal_totals *totals, uint64_t waited) {
    add(&totals->waits, 1);
    add(&totals->wait_total, waited);
    raise_to(&totals->wait_longest, waited);
}

NO_TSAN static inline __attribute__((always_inline)) void count_hold(struct journal_totals *totals, uint64_t held) {
    add(&totals->holds, 1);
    add(&totals->hold_total, held);
    raise_to(&totals->hold_longest, held);
}

NO_TSAN void journal_attached(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state,
                              const void *interp, const void *caller, uint64_t begun) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    uint64_t now = ticks_now();
    uint64_t waited = begun ? ticks_between(begun, now) : 0;
    write_event(record, kind, call, detail, state, interp, caller, now, waited, false);
    begin_writing(record);
    unsigned closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
    if (record->module_caller != caller || record->module_closings != closings) {
        record->module_caller = caller;
        record->module_closings = closings;
        record->module_totals = modules_totals(modules_of(caller));
    }
    record->thread.totals.acquisitions++;
    add(&record->module_totals->acquisitions, 1);
    if (waited >= noticeable()) {
        count_wait(&record->thread.totals, waited);
        count_wait(record->module_totals, waited);
    }
    record->thread.now = (struct journal_now){JOURNAL_HOLDS, call, state, caller, now, NULL};
    end_writing(record);
}

NO_TSAN void journal_found(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller,
                           const struct journal_now *before) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    uint64_t now = ticks_now();
    write_event(record, kind, call, detail, state, NULL, caller, now, 0, false);
    if (record->thread.now.phase != JOURNAL_HOLDS) {
        begin_writing(record);
        record->thread.now = before->phase == JOURNAL_HOLDS ? *before : (struct journal_now){JOURNAL_HOLDS, call, state,
                                                                                             caller,        now,  NULL};
        end_writing(record);
    }
}

NO_TSAN void journal_detaches(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state,
                              const void *caller) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    uint64_t now = ticks_now();
    write_event(record, kind, call, detail, state, NULL, caller, now, 0, false);
    begin_writing(record);
    if (record->thread.now.phase == JOURNAL_HOLDS) {
        uint64_t held = ticks_between(record->thread.now.since, now);
        count_hold(&record->thread.totals, held);
        if (record->module_caller == record->thread.now.caller) {
            count_hold(record->module_totals, held);
        }
    }
    record->thread.now = (struct journal_now){JOURNAL_OUTSIDE, call, state, caller, now, NULL};
    end_writing(record);
}

NO_TSAN void journal_correct(const void *attached, const void *caller) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    struct journal_now *now = &record->thread.now;
    enum journal_phase phase = attached ? JOURNAL_HOLDS : JOURNAL_OUTSIDE;
    if (now->phase != phase || (attached && now->state != attached)) {
        begin_writing(record);
        *now = (struct journal_now){phase, JOURNAL_NO_CALL, attached, caller, ticks_now(), NULL};
        end_writing(record);
    }
}

NO_TSAN struct journal_now journal_now(void) {
    struct journal_record *record = self.record;
    return record ? record->thread.now : (struct journal_now){.call = JOURNAL_NO_CALL};
}

NO_TSAN uint64_t journal_own_events(void) {
    return self.record ? self.record->next - 1 : 0;
}

int journal_own_index(void) {
    const struct journal_record *mine = self.record;
    for (unsigned i = 0; mine && i < JOURNAL_CHUNKS; i++) {
        const struct journal_record *chunk = __atomic_load_n(&journal_store.chunks[i], __ATOMIC_ACQUIRE);
        if (chunk && mine >= chunk && mine < chunk + JOURNAL_CHUNK_RECORDS) {
            return (int)(i * JOURNAL_CHUNK_RECORDS + (unsigned)(mine - chunk));
        }
    }
    return -1;
}

NO_TSAN void journal_name_thread(const char *python_name) {
    struct journal_record *record = my_record();
    if (!record) {
        return;
    }
    size_t length = strnlen(python_name, sizeof record->thread.python_name - 1);
    while (length && python_name[length] && (python_name[length] & 0xc0) == 0x80) {
        length--;
    }
    begin_writing(record);
    memcpy(record->thread.python_name, python_name, length);
    record->thread.python_name[length] = '\0';
    end_writing(record);
}
