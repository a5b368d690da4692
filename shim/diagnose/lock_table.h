/* What is known about the order in which locks and the GIL are taken: a table of locks and a table of orders between
 * them, for check=locks. Both have a fixed size and are lock-free: a reader takes a few loads, and what is known
 * already is never written again. A lock or an order for which there is no room is counted, and is not judged.
 *
 * Three orders are kept. GIL -> lock: a thread waited for the lock with the GIL held. Lock -> GIL: a thread waited for
 * the GIL with the lock held. Lock -> lock. Each is kept with the places and the thread that it was first seen with.
 *
 * Memory is used again: a lock that is destroyed or freed is forgotten with all its orders. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happened first in an order, and where. */
struct lock_order_seen {
    uint32_t state;        /* LOCK_SEEN and others; 0: never seen */
    uint32_t tid;          /* of the thread */
    const void *held_site; /* where it took the first; NULL: the first is the GIL */
    const void *site;      /* where it waited for the second */
    uint16_t call;         /* of the API, if it waited for the GIL */
    uint32_t closings;     /* loader_closings then: later, the places may mean something else */
};
enum {
    LOCK_CLAIMED = 1,      /* a thread is about to fill it in */
    LOCK_SEEN = 2,         /* it is filled in */
    LOCK_MANY = 4,         /* by more than one thread */
    LOCK_READ_FIRST = 8,   /* the first was held by readers only */
    LOCK_READ_SECOND = 16, /* the second was waited for by readers only */
};

struct lock_node {
    uint32_t generation; /* counts the locks that were here */
    uint8_t kind;        /* enum lock_kind */
    bool is_on_stack;    /* of a thread, as far as one can tell: its place is used again without notice */
    struct lock_order_seen gil_first;
    struct lock_order_seen gil_second;
};

enum { LOCK_NODES = 16384, LOCK_EDGES = 16384, LOCK_NONE = -1 };

/* Maps the tables. Returns false without memory. */
bool lock_table_start(void);

/* Returns the number of the lock, from 0, or LOCK_NONE if it is not in the table. */
int lock_table_find(const void *lock);

/* Like lock_table_find, but adds the lock. Returns LOCK_NONE if there is no room for it. */
int lock_table_add(const void *lock, unsigned kind, bool is_on_stack);

/* Returns the lock with this number, and its address (NULL: forgotten meanwhile). */
struct lock_node *lock_table_node(int number);
const void *lock_table_address(int number);

/* Returns the order of these two locks, or NULL if there is no room for it. If it is not in the table, adds it with the
 * state 0. */
struct lock_order_seen *lock_table_order(int first, int second);

/* Goes through the orders that begin (end) with this lock. `index` starts from 0. Returns NULL after the last one; else
 * stores the other lock in *other. */
const struct lock_order_seen *lock_table_next_from(int first, uint32_t *index, int *other);
const struct lock_order_seen *lock_table_next_to(int second, uint32_t *index, int *other);

/* Forgets the lock, if it is in the table. */
void lock_table_forget(const void *lock);

/* Returns true if a lock in [memory, memory + size) may be in the table. Wrong only if there is none. */
bool lock_table_may_have(const void *memory, size_t size);
void lock_table_forget_range(const void *memory, size_t size);

/* Returns how many locks and orders found no room. */
uint64_t lock_table_dropped(void);
