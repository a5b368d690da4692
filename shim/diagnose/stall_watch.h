/* Finds the threads that have waited for the GIL for too long. For the watch thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"

/* Looks at all threads. Fills `waiters` with those that have waited at least `limit` ns, the longest first, at most
 * `capacity`. Returns how many there are in all. */
size_t stall_watch_look(struct waiter *waiters, size_t capacity, uint64_t limit, uint64_t now);

/* Appends the other threads that wait, for however short a time, and are not among the first `count`, until there are
 * `capacity` in all. Returns how many it appended. To be called soon after stall_watch_look. */
size_t stall_watch_rest(struct waiter *waiters, size_t count, size_t capacity, uint64_t now);

/* Returns true if the thread is still in the same wait. */
bool stall_watch_waits_still(const struct waiter *waiter);
