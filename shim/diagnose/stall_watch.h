/* Which threads wait for the GIL for too long. For the watch thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"

/* Looks at all threads and fills `waiters` with those that have waited at least `limit` ns, the longest first, at most
 * `capacity`. Returns how many there are in all. */
size_t stall_watch_look(struct waiter *waiters, size_t capacity, uint64_t limit, uint64_t now);

/* Appends those that wait as well, for however short a time, and are not among the `count` there; at most up to `capacity` in all.
 * Returns how many that were. Soon after the former. */
size_t stall_watch_rest(struct waiter *waiters, size_t count, size_t capacity, uint64_t now);

/* Whether it waits still, the same wait. */
bool stall_watch_waits_still(const struct waiter *waiter);
