/* The journal's records in memory. For journal.c and journal_read.c only. */
#pragma once

#include <stddef.h>

#include "cpython/real.h"
#include "journal/journal.h"

/* Sequence numbers guard what one thread writes while others read. ThreadSanitizer does not know that. */
#define NO_TSAN __attribute__((no_sanitize("thread")))

enum journal_status { JOURNAL_UNUSED, JOURNAL_ALIVE, JOURNAL_ENDED };

struct journal_record {
    uint32_t status;
    uint32_t sequence; /* odd while `thread` is being written */
    struct journal_thread thread;
    struct journal_event *ring;
    uint64_t next;             /* number of the next event */
    uint64_t quarter_at;       /* number of the event that fills the next quarter of the ring; 0: no callback */
    const void *module_caller; /* the caller of the last attach ... */
    struct journal_totals *module_totals; /* ... and the totals of the module it is in (modules.h) ... */
    unsigned module_closings;             /* ... and the value of loader_closings then */
    unsigned ring_size;                   /* a power of two; constant once there is a ring */
    uint8_t exit_rounds;
} __attribute__((aligned(64)));

enum { JOURNAL_CHUNK_RECORDS = 64, JOURNAL_CHUNKS = 256 };

extern struct journal_store {
    struct journal_record *chunks[JOURNAL_CHUNKS];
    unsigned record_count; /* number of records ever used */
    unsigned ring_size;    /* number of events that a thread's ring should have */
    size_t rings_memory;   /* bytes in all rings */
    uint64_t unrecorded;
    unsigned seen;
    unsigned layout; /* JOURNAL_LAYOUT */
} journal_store __attribute__((visibility("hidden")));

/* Tells gilshim-inspect, which reads the store of another process, whether that has the same layout and the same list of
 * functions. */
#define JOURNAL_LAYOUT \
    ((unsigned)(sizeof(struct journal_record) + 1000 * sizeof(struct journal_event)) + 1000000u * REAL_API_COUNT)

static inline struct journal_record *journal_record_at(unsigned index) {
    struct journal_record *chunk =
        __atomic_load_n(&journal_store.chunks[index / JOURNAL_CHUNK_RECORDS], __ATOMIC_ACQUIRE);
    return chunk ? &chunk[index % JOURNAL_CHUNK_RECORDS] : NULL;
}
