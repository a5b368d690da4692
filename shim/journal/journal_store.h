/* Where the journal keeps its records; for journal.c and journal_read.c only. */
#pragma once

#include <stddef.h>

#include "journal/journal.h"

/* What is written while others read is guarded by numbers, which ThreadSanitizer does not know. */
#define NO_TSAN __attribute__((no_sanitize("thread")))

enum journal_status { JOURNAL_UNUSED, JOURNAL_ALIVE, JOURNAL_ENDED };

struct journal_record {
    uint32_t status;
    uint32_t sequence; /* odd while `thread` is being written */
    uint8_t exit_rounds;
    struct journal_thread thread;
    struct journal_event *ring;
    unsigned ring_size;        /* a power of two; not changed any more once there is a ring */
    uint64_t next;             /* number of the next event */
    uint64_t quarter_at;       /* number of the event that fills the next quarter of the ring; 0: nobody asks */
    const void *module_caller; /* the attaching caller that was seen last ... */
    unsigned module_closings;  /* ... when so many libraries had been closed (loader_closings) ... */
    struct journal_totals *module_totals; /* ... and those of its module (modules.h) */
} __attribute__((aligned(64)));

enum { JOURNAL_CHUNK_RECORDS = 64, JOURNAL_CHUNKS = 256 };

extern struct journal_store {
    struct journal_record *chunks[JOURNAL_CHUNKS];
    unsigned record_count; /* that were ever used */
    unsigned ring_size;    /* that a thread is to have */
    size_t rings_memory;   /* of all there are */
    uint64_t unrecorded;
    unsigned seen;
} journal_store __attribute__((visibility("hidden")));

static inline struct journal_record *journal_record_at(unsigned index) {
    struct journal_record *chunk =
        __atomic_load_n(&journal_store.chunks[index / JOURNAL_CHUNK_RECORDS], __ATOMIC_ACQUIRE);
    return chunk ? &chunk[index % JOURNAL_CHUNK_RECORDS] : NULL;
}
