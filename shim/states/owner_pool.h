/* Where the records of threads come from: pages that are never unmapped, so that a stale pointer to one is harmless.
 *
 * Takes a lock, except for wipe; calls nothing meanwhile but mmap. Not async-signal-safe. */
#pragma once

#include "states/owner.h"

/* An empty record; NULL without memory. */
struct owner *owner_pool_take(void);

/* Empties a record; its lists keep their pages. */
void owner_pool_wipe(struct owner *record);

/* Gives one back, emptied. */
void owner_pool_put(struct owner *record);

/* Around fork: the pool must not be half-written in the child. */
void owner_pool_before_fork(void);
void owner_pool_after_fork(void);

/* In the child of a fork: gives back all records but `mine` (NULL: there is none), and removes what the registry knows of
 * their threads. */
void owner_pool_put_others(const struct owner *mine);
