#include <string.h>

#include "journal/journal_store.h"

enum { TRIES = 100 }; /* a write takes some nanoseconds, unless the thread was stopped in the middle of it */

/* Copies word by word: sanitizers watch memcpy. */
NO_TSAN static void copy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        ((uint64_t *)to)[i] = ((const volatile uint64_t *)from)[i];
    }
}
_Static_assert(sizeof(struct journal_thread) % sizeof(uint64_t) == 0, "copied by words");
_Static_assert(sizeof(struct journal_event) % sizeof(uint64_t) == 0, "copied by words");

unsigned journal_count(void) {
    return __atomic_load_n(&journal_store.record_count, __ATOMIC_ACQUIRE);
}

unsigned journal_seen(void) {
    return __atomic_load_n(&journal_store.seen, __ATOMIC_RELAXED);
}

uint64_t journal_unrecorded(void) {
    return __atomic_load_n(&journal_store.unrecorded, __ATOMIC_RELAXED);
}

bool journal_read_thread(unsigned index, struct journal_thread *thread) {
    const struct journal_record *record = index < journal_count() ? journal_record_at(index) : NULL;
    for (int i = 0; record && i < TRIES; i++) {
        uint32_t before = __atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE);
        if (before & 1) {
            continue;
        }
        copy(thread, &record->thread, sizeof *thread);
        thread->events = __atomic_load_n(&record->next, __ATOMIC_RELAXED);
        thread->events -= thread->events ? 1 : 0;
        thread->kept = __atomic_load_n(&record->ring_size, __ATOMIC_RELAXED);
        uint32_t status = __atomic_load_n(&record->status, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&record->sequence, __ATOMIC_RELAXED) == before) {
            return thread->tid != 0 && status != JOURNAL_UNUSED;
        }
    }
    return false;
}

NO_TSAN int journal_find(pid_t tid) {
    struct journal_thread thread;
    for (unsigned i = 0; i < journal_count(); i++) {
        const struct journal_record *record = journal_record_at(i);
        if (record && __atomic_load_n(&record->thread.tid, __ATOMIC_RELAXED) == tid &&
            journal_read_thread(i, &thread) && thread.tid == tid && !thread.has_ended) {
            return (int)i;
        }
    }
    return -1;
}

/* Reads the event with this number. Returns false if it was overwritten or is being overwritten. */
NO_TSAN static bool read_event(const struct journal_record *record, uint64_t number, struct journal_event *event) {
    const struct journal_event *place = &record->ring[number & (record->ring_size - 1)];
    if (__atomic_load_n(&place->number, __ATOMIC_ACQUIRE) != number) {
        return false;
    }
    copy(event, place, sizeof *event);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(&place->number, __ATOMIC_RELAXED) == number && event->number == number;
}

unsigned journal_read_events(unsigned index, struct journal_event *events, unsigned capacity, unsigned *torn) {
    const struct journal_record *record = index < journal_count() ? journal_record_at(index) : NULL;
    const struct journal_event *ring = record ? __atomic_load_n(&record->ring, __ATOMIC_ACQUIRE) : NULL;
    *torn = 0;
    if (!ring) {
        return 0;
    }
    uint64_t next = __atomic_load_n(&record->next, __ATOMIC_ACQUIRE);
    uint64_t last = next ? next - 1 : 0;
    uint64_t wanted = capacity < record->ring_size ? capacity : record->ring_size;
    unsigned count = 0;
    for (uint64_t number = last > wanted ? last - wanted + 1 : 1; number <= last; number++) {
        if (read_event(record, number, &events[count])) {
            count++;
        } else {
            ++*torn;
        }
    }
    return count;
}

unsigned journal_read_events_after(unsigned index, uint64_t after, struct journal_event *events, unsigned capacity) {
    const struct journal_record *record = index < journal_count() ? journal_record_at(index) : NULL;
    const struct journal_event *ring = record ? __atomic_load_n(&record->ring, __ATOMIC_ACQUIRE) : NULL;
    if (!ring) {
        return 0;
    }
    uint64_t next = __atomic_load_n(&record->next, __ATOMIC_ACQUIRE);
    uint64_t oldest = next > record->ring_size ? next - record->ring_size : 1;
    unsigned count = 0;
    for (uint64_t number = after + 1 > oldest ? after + 1 : oldest; number < next && count < capacity; number++) {
        count += read_event(record, number, &events[count]);
    }
    return count;
}

static bool attaches(const struct journal_event *event) {
    return event->kind == JOURNAL_ATTACH || event->kind == JOURNAL_ENSURE || event->kind == JOURNAL_SWAP ||
           event->kind == JOURNAL_NEW || event->kind == JOURNAL_INTERPRETER_MADE || event->kind == JOURNAL_INITIALIZE;
}

enum by { BY_ANYBODY, BY_IT, BY_OTHERS };

NO_TSAN static bool find_attach(enum by by, pid_t tid, const void *state, struct journal_event *event,
                                unsigned *index) {
    uint64_t latest = 0;
    for (unsigned i = 0; state && i < journal_count(); i++) {
        const struct journal_record *record = journal_record_at(i);
        const struct journal_event *ring = record ? __atomic_load_n(&record->ring, __ATOMIC_ACQUIRE) : NULL;
        bool is_its = record && by != BY_ANYBODY && __atomic_load_n(&record->thread.tid, __ATOMIC_RELAXED) == tid;
        if (by != BY_ANYBODY && is_its != (by == BY_IT)) {
            continue;
        }
        uint64_t next = record ? __atomic_load_n(&record->next, __ATOMIC_RELAXED) : 0;
        for (unsigned place = 0; ring && place < record->ring_size && place <= next; place++) {
            struct journal_event found;
            uint64_t number = __atomic_load_n(&ring[place].number, __ATOMIC_RELAXED);
            if (number && __atomic_load_n(&ring[place].state, __ATOMIC_RELAXED) == state &&
                read_event(record, number, &found) && found.state == state && attaches(&found) &&
                found.time >= latest) {
                latest = found.time;
                *event = found;
                *index = i;
            }
        }
    }
    return latest != 0;
}

bool journal_find_attach(const void *state, struct journal_event *event, unsigned *index) {
    return find_attach(BY_ANYBODY, 0, state, event, index);
}

bool journal_find_attach_by(pid_t tid, const void *state, struct journal_event *event, unsigned *index) {
    return find_attach(BY_IT, tid, state, event, index);
}

bool journal_find_attach_by_others(pid_t tid, const void *state, struct journal_event *event, unsigned *index) {
    return find_attach(BY_OTHERS, tid, state, event, index);
}

const char *journal_kind_name(enum journal_kind kind) {
    static const char *const names[] = {
        [JOURNAL_NONE] = "nothing",
        [JOURNAL_ATTACH] = "attach",
        [JOURNAL_DETACH] = "detach",
        [JOURNAL_ENSURE] = "ensure",
        [JOURNAL_RELEASE] = "release",
        [JOURNAL_NEW] = "new",
        [JOURNAL_CLEAR] = "clear",
        [JOURNAL_DELETE] = "delete",
        [JOURNAL_SWAP] = "swap",
        [JOURNAL_INTERPRETER_MADE] = "interpreter made",
        [JOURNAL_INTERPRETER_ENDS] = "interpreter ends",
        [JOURNAL_INITIALIZE] = "initialize",
        [JOURNAL_FINALIZE] = "finalize",
        [JOURNAL_FORK] = "fork",
        [JOURNAL_REPAIR] = "repair",
        [JOURNAL_MISUSE] = "foreseen",
    };
    return kind < sizeof names / sizeof names[0] ? names[kind] : "?";
}
