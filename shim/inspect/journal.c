#include "inspect/journal.h"

#include <stdlib.h>
#include <string.h>

#include "inspect/objects.h"
#include "journal/journal_store.h"
#include "system/ticks.h"

enum { RINGS_MAX = 64 << 20, RING_MAX = 65536, TRIES = 20 };

/* A copy of the target's, with pointers to copies. */
struct journal_store journal_store;

static void forget(void) {
    for (unsigned i = 0; i < JOURNAL_CHUNKS; i++) {
        for (unsigned j = 0; journal_store.chunks[i] && j < JOURNAL_CHUNK_RECORDS; j++) {
            free(journal_store.chunks[i][j].ring);
        }
        free(journal_store.chunks[i]);
    }
    memset(&journal_store, 0, sizeof journal_store);
}

/* A bool that is neither is undefined behaviour as soon as it is looked at. */
static void make_bool(bool *member) {
    uint8_t byte;
    memcpy(&byte, member, sizeof byte);
    *member = byte != 0;
}

/* Its thread may be writing it. */
static bool read_record(uintptr_t address, struct journal_record *record) {
    for (int i = 0; i < TRIES; i++) {
        uint32_t after;
        uintptr_t sequence = address + offsetof(struct journal_record, sequence);
        if (!target_read(address, record, sizeof *record) || !target_read(sequence, &after, sizeof after)) {
            return false;
        }
        if (!(after & 1) && record->sequence == after) {
            return true;
        }
    }
    return false;
}

static void take_ring(struct journal_record *record) {
    uintptr_t address = (uintptr_t)record->ring;
    size_t count = record->ring_size, size = count * sizeof *record->ring;
    bool is_sound = address && count && count <= RING_MAX && (count & (count - 1)) == 0 &&
                    size <= RINGS_MAX - journal_store.rings_memory;
    record->ring = is_sound ? malloc(size) : NULL;
    if (record->ring && !target_read(address, record->ring, size)) {
        free(record->ring);
        record->ring = NULL;
    }
    record->ring_size = record->ring ? (unsigned)count : 0;
    for (unsigned i = 0; i < record->ring_size; i++) {
        make_bool(&record->ring[i].is_later);
    }
    journal_store.rings_memory += record->ring ? size : 0;
}

static void take_record(uintptr_t address, struct journal_record *record) {
    if (!read_record(address, record)) {
        memset(record, 0, sizeof *record);
        return;
    }
    record->module_totals = NULL;
    make_bool(&record->thread.has_ended);
    record->thread.name[sizeof record->thread.name - 1] = '\0';
    record->thread.python_name[sizeof record->thread.python_name - 1] = '\0';
    pid_t tid = record->thread.has_ended ? 0 : target_thread_of(record->thread.tid);
    record->thread.has_ended |= !tid;
    record->thread.tid = tid ? tid : record->thread.tid;
    take_ring(record);
}

bool journal_take(void) {
    const struct target_object *shim = objects_named("libgilshim.so");
    struct journal_store *theirs = malloc(sizeof *theirs);
    uintptr_t address;
    size_t size;
    forget();
    bool is_ours = theirs && shim && target_symbol(shim, "journal_store", &address, &size) && size == sizeof *theirs &&
                   target_read(address, theirs, sizeof *theirs) && theirs->layout == JOURNAL_LAYOUT;
    unsigned count =
        is_ours && theirs->record_count <= JOURNAL_CHUNKS * JOURNAL_CHUNK_RECORDS ? theirs->record_count : 0;
    for (unsigned i = 0; i < count; i++) {
        struct journal_record **chunk = &journal_store.chunks[i / JOURNAL_CHUNK_RECORDS];
        *chunk =
            *chunk ? *chunk : aligned_alloc(_Alignof(struct journal_record), JOURNAL_CHUNK_RECORDS * sizeof **chunk);
        if (!*chunk) {
            break;
        }
        if (i % JOURNAL_CHUNK_RECORDS == 0) {
            memset(*chunk, 0, JOURNAL_CHUNK_RECORDS * sizeof **chunk);
        }
        uintptr_t there = (uintptr_t)theirs->chunks[i / JOURNAL_CHUNK_RECORDS];
        take_record(there + i % JOURNAL_CHUNK_RECORDS * sizeof **chunk, &(*chunk)[i % JOURNAL_CHUNK_RECORDS]);
        journal_store.record_count = i + 1;
    }
    free(theirs);
    return is_ours;
}

uint64_t journal_latest(void) {
    uint64_t latest = 0;
    for (unsigned i = 0; i < journal_count(); i++) {
        struct journal_event event;
        struct journal_thread thread;
        unsigned torn;
        if (journal_read_thread(i, &thread) && thread.now.since > latest) {
            latest = thread.now.since;
        }
        if (journal_read_events(i, &event, 1, &torn) == 1 && event.time > latest) {
            latest = event.time;
        }
    }
    return latest;
}

uint64_t target_now(void) {
    return target_source()->is_core ? ticks_to_ns(journal_latest()) : ticks_monotonic();
}
