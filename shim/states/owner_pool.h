/* Allocates the records of threads, in pages that are never unmapped, so a stale pointer to a record is harmless.
 *
 * All functions but owner_pool_wipe take a lock, and call nothing but mmap while they hold it. None is
 * async-signal-safe. */
#pragma once

#include "states/owner.h"

/* Returns an empty record, or NULL without memory. */
struct owner *owner_pool_take(void);

/* Empties a record; its lists keep their pages. */
void owner_pool_wipe(struct owner *record);

/* Empties a record and gives it back to the pool. */
void owner_pool_put(struct owner *record);

/* Called around fork: the pool must not be half-written in the child. */
void owner_pool_before_fork(void);
void owner_pool_after_fork(void);

/* In the child of a fork: gives back all records but `mine` (may be NULL), and removes what the registry knows of their
 * threads. */
void owner_pool_put_others(const struct owner *mine);
