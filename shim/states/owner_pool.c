#include "states/owner_pool.h"

#include "process/locks.h"
#include "states/registry.h"
#include "states/taken.h"
#include "system/list.h"

enum { CHUNK_RECORDS = 255 };

struct chunk {
    struct chunk *next;
    struct owner records[CHUNK_RECORDS];
};

static struct lock lock = LOCK_INITIALIZER;
static struct chunk *chunks;
static struct owner *free_records;

static void add_chunk(void) {
    struct chunk *chunk = list_map_pages(sizeof *chunk);
    if (!chunk) {
        return;
    }
    chunk->next = chunks;
    chunks = chunk;
    for (size_t i = 0; i < CHUNK_RECORDS; i++) {
        chunk->records[i].next_free = free_records;
        free_records = &chunk->records[i];
    }
}

struct owner *owner_pool_take(void) {
    locks_take(&lock);
    if (!free_records) {
        add_chunk();
    }
    struct owner *record = free_records;
    if (record) {
        free_records = record->next_free;
        record->is_in_use = true;
    }
    locks_give(&lock);
    return record;
}

void owner_pool_wipe(struct owner *record) {
    record->attached = record->override.state = record->override.home = record->clearing = record->answer.state =
        record->loan = NULL;
    record->alias = record->unseen.state = record->lent.state = record->kept = record->untaken = record->initialized =
        NULL;
    taken_is_over(record);
    record->has_forked = false;
    record->blocks.count = record->filed.count = 0;
}

void owner_pool_put(struct owner *record) {
    owner_pool_wipe(record);
    record->exit_rounds = 0;
    locks_take(&lock);
    record->is_in_use = false;
    record->next_free = free_records;
    free_records = record;
    locks_give(&lock);
}

void owner_pool_before_fork(void) {
    locks_take(&lock);
}

void owner_pool_after_fork(void) {
    locks_give(&lock);
}

void owner_pool_put_others(const struct owner *mine) {
    for (struct chunk *chunk = chunks; chunk; chunk = chunk->next) {
        for (size_t i = 0; i < CHUNK_RECORDS; i++) {
            struct owner *record = &chunk->records[i];
            if (record->is_in_use && record != mine) {
                registry_remove_owner(record);
                owner_pool_put(record);
            }
        }
    }
}
