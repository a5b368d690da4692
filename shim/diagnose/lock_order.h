/* check=locks: notes in which order threads take locks and the GIL, and reports an order that can deadlock, once per
 * pair of places, whether or not it did. What is found may end the process (report_find).
 *
 * A circle of orders counts if it goes through the GIL, if two threads took part (one, if the lock is that of an
 * initialization, which only one thread ever has), and if at each lock one of the two sides does more than read. A lock
 * that was only tried for, or with a time limit, begins orders but ends none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diagnose/held_locks.h"

/* True if orders are noted. Constant after the constructor. */
extern bool lock_order_is_on __attribute__((visibility("hidden")));

/* Constructor: prepares check=locks if it is wanted. */
void lock_order_start(void);

/* Notes that the thread is about to wait for the lock. `has_gil`: it has the GIL. `site`: the return address. To be
 * called before each wait if the thread has the GIL or holds locks. Takes no lock itself. */
void lock_order_waits(const void *lock, enum lock_kind kind, bool has_gil, const void *site);

/* Notes that the thread, which has no GIL, is about to wait for it in this call of the API. */
void lock_order_takes_gil(uint16_t call, const void *caller);

/* Forgets the lock: it is being made or destroyed. */
void lock_order_forget(const void *lock);

/* Tells once, if that is so, that there was no room for something. */
void lock_order_tell_lost(void);
