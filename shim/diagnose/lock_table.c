#include "diagnose/lock_table.h"

#include <string.h>

#include "system/list.h"

/* A lock's number is its place. It is in one of the two rows of eight that its address leads to, so that a look reads
 * two cache lines at most, and a place that becomes free can be used at once. */
enum { ROW = 8, NODE_ROWS = LOCK_NODES / ROW, EDGE_ROWS = LOCK_EDGES / ROW };

struct edge {
    uint32_t first_generation, second_generation;
    struct lock_order_seen seen;
};

/* Which 256-byte pieces of memory may have locks: one bit for each, by a hash of its address. Bits are only set. */
enum { PIECE_BITS = 8, FILTER_WORDS = 4096 };

static struct tables {
    const void *locks[LOCK_NODES];
    uint64_t edge_keys[LOCK_EDGES]; /* (number of the first + 1) << 32 | number of the second + 1 */
    uint64_t filter[FILTER_WORDS];
    struct lock_node nodes[LOCK_NODES];
    struct edge edges[LOCK_EDGES];
} * tables;

static uint64_t dropped;

bool lock_table_start(void) {
    tables = tables ? tables : list_map_pages(sizeof *tables);
    return tables != NULL;
}

uint64_t lock_table_dropped(void) {
    return __atomic_load_n(&dropped, __ATOMIC_RELAXED);
}

static inline uint64_t hash_of(uint64_t word) {
    word *= 0x9e3779b97f4a7c15u;
    return word ^ (word >> 29);
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

static inline int find_in_row(const void *lock, size_t row) {
    const void **places = &tables->locks[row * ROW];
    for (int i = 0; i < ROW; i++) {
        if (__atomic_load_n(&places[i], __ATOMIC_ACQUIRE) == lock) {
            return (int)(row * ROW) + i;
        }
    }
    return LOCK_NONE;
}

int lock_table_find(const void *lock) {
    uint64_t hash = hash_of((uintptr_t)lock);
    int number = find_in_row(lock, hash % NODE_ROWS);
    return number != LOCK_NONE ? number : find_in_row(lock, (hash >> 32) % NODE_ROWS);
}

static inline uint64_t piece_hash(uintptr_t piece) {
    return hash_of(piece) >> 20;
}

static void note_piece(const void *lock) {
    uint64_t hash = piece_hash((uintptr_t)lock >> PIECE_BITS);
    uint64_t *word = &tables->filter[(hash / 64) % FILTER_WORDS];
    if (!(__atomic_load_n(word, __ATOMIC_RELAXED) & (1ull << (hash % 64)))) {
        __atomic_or_fetch(word, 1ull << (hash % 64), __ATOMIC_RELEASE);
    }
}

/* Takes a free place in the row. Two threads may add the same lock; then the one that finds it in front of its own
 * place takes that. */
static int add_to_row(const void *lock, size_t row) {
    const void **places = &tables->locks[row * ROW];
    for (int i = 0; i < ROW; i++) {
        const void *expected = NULL;
        if (__atomic_load_n(&places[i], __ATOMIC_RELAXED) == NULL &&
            __atomic_compare_exchange_n(&places[i], &expected, lock, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            int first = lock_table_find(lock);
            if (first != LOCK_NONE && first != (int)(row * ROW) + i) {
                __atomic_store_n(&places[i], NULL, __ATOMIC_RELEASE);
                return first;
            }
            return (int)(row * ROW) + i;
        }
    }
    return LOCK_NONE;
}

int lock_table_add(const void *lock, unsigned kind, bool is_on_stack) {
    int number = lock_table_find(lock);
    if (number != LOCK_NONE) {
        return number;
    }
    note_piece(lock); /* first, so that whoever frees it finds it */
    uint64_t hash = hash_of((uintptr_t)lock);
    number = add_to_row(lock, hash % NODE_ROWS);
    number = number != LOCK_NONE ? number : add_to_row(lock, (hash >> 32) % NODE_ROWS);
    if (number == LOCK_NONE) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
    } else {
        tables->nodes[number].kind = (uint8_t)kind;
        tables->nodes[number].is_on_stack = is_on_stack;
    }
    return number;
}

struct lock_node *lock_table_node(int number) {
    return &tables->nodes[number];
}

const void *lock_table_address(int number) {
    return __atomic_load_n(&tables->locks[number], __ATOMIC_ACQUIRE);
}

static void forget_number(int number) {
    struct lock_node *node = &tables->nodes[number];
    __atomic_add_fetch(&node->generation, 1, __ATOMIC_RELEASE); /* its orders with other locks are void */
    memset(&node->gil_first, 0, sizeof node->gil_first);
    memset(&node->gil_second, 0, sizeof node->gil_second);
    __atomic_store_n(&tables->locks[number], NULL, __ATOMIC_RELEASE);
}

void lock_table_forget(const void *lock) {
    int number = lock_table_find(lock);
    if (number != LOCK_NONE) {
        forget_number(number);
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

enum { PIECES_MAX = 64 };

static bool may_have(uintptr_t piece) {
    uint64_t hash = piece_hash(piece);
    return __atomic_load_n(&tables->filter[(hash / 64) % FILTER_WORDS], __ATOMIC_RELAXED) & (1ull << (hash % 64));
}

bool lock_table_may_have(const void *memory, size_t size) {
    uintptr_t first = (uintptr_t)memory >> PIECE_BITS;
    uintptr_t last = ((uintptr_t)memory + (size ? size - 1 : 0)) >> PIECE_BITS;
    if (last - first >= PIECES_MAX) {
        return true;
    }
    for (uintptr_t piece = first; piece <= last; piece++) {
        if (may_have(piece)) {
            return true;
        }
    }
    return false;
}

/* Asks for each address that can hold a lock if the pieces are few, and looks at each lock otherwise. */
void lock_table_forget_range(const void *memory, size_t size) {
    enum { ALIGNMENT = 4, PIECE = 1 << PIECE_BITS, LONGEST = (PIECES_MAX - 1) * PIECE };
    uintptr_t end = (uintptr_t)memory + size;
    if (size <= LONGEST) {
        for (uintptr_t at = (uintptr_t)memory & -(uintptr_t)PIECE; at < end; at += PIECE) {
            for (uintptr_t lock = at; may_have(at >> PIECE_BITS) && lock < at + PIECE; lock += ALIGNMENT) {
                if (lock - (uintptr_t)memory < size) {
                    lock_table_forget((const void *)lock);
                }
            }
        }
        return;
    }
    for (int number = 0; number < LOCK_NODES; number++) {
        if ((uintptr_t)lock_table_address(number) - (uintptr_t)memory < size) {
            forget_number(number);
        }
    }
}

/* ---- orders ----------------------------------------------------------------------------------------------------- */

static inline bool is_valid(int number, uint64_t key) {
    const struct edge *edge = &tables->edges[number];
    const struct lock_node *first = &tables->nodes[(key >> 32) - 1];
    const struct lock_node *second = &tables->nodes[(uint32_t)key - 1];
    return edge->first_generation == __atomic_load_n(&first->generation, __ATOMIC_ACQUIRE) &&
           edge->second_generation == __atomic_load_n(&second->generation, __ATOMIC_ACQUIRE);
}

static int find_edge(uint64_t key, size_t row) {
    for (int i = 0; i < ROW; i++) {
        int number = (int)(row * ROW) + i;
        if (__atomic_load_n(&tables->edge_keys[number], __ATOMIC_ACQUIRE) == key) {
            return number;
        }
    }
    return LOCK_NONE;
}

/* While a place changes hands, its key is this one, which no order has. */
static const uint64_t busy = UINT64_MAX;

static void fill(int number, uint64_t key) {
    struct edge *edge = &tables->edges[number];
    memset(&edge->seen, 0, sizeof edge->seen);
    edge->first_generation = tables->nodes[(key >> 32) - 1].generation;
    edge->second_generation = tables->nodes[(uint32_t)key - 1].generation;
}

static int add_edge(uint64_t key, size_t row) {
    for (int i = 0; i < ROW; i++) {
        int number = (int)(row * ROW) + i;
        uint64_t old = __atomic_load_n(&tables->edge_keys[number], __ATOMIC_RELAXED);
        bool is_free = !old || (old != busy && !is_valid(number, old));
        if (is_free && __atomic_compare_exchange_n(&tables->edge_keys[number], &old, busy, false, __ATOMIC_ACQ_REL,
                                                   __ATOMIC_RELAXED)) {
            fill(number, key);
            __atomic_store_n(&tables->edge_keys[number], key, __ATOMIC_RELEASE);
            return number;
        }
    }
    return LOCK_NONE;
}

struct lock_order_seen *lock_table_order(int first, int second) {
    uint64_t key = ((uint64_t)first + 1) << 32 | ((uint64_t)second + 1);
    uint64_t hash = hash_of(key);
    size_t rows[] = {hash % EDGE_ROWS, (hash >> 32) % EDGE_ROWS};
    int number = find_edge(key, rows[0]);
    number = number != LOCK_NONE ? number : find_edge(key, rows[1]);
    if (number != LOCK_NONE && !is_valid(number, key)) {
        fill(number, key); /* of locks that were there before */
    }
    number = number != LOCK_NONE ? number : add_edge(key, rows[0]);
    number = number != LOCK_NONE ? number : add_edge(key, rows[1]);
    if (number == LOCK_NONE) {
        __atomic_add_fetch(&dropped, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    return &tables->edges[number].seen;
}

static const struct lock_order_seen *next_edge(uint64_t wanted, uint64_t mask, uint32_t *index, uint64_t *key) {
    for (; *index < LOCK_EDGES; ++*index) {
        *key = __atomic_load_n(&tables->edge_keys[*index], __ATOMIC_ACQUIRE);
        if ((*key & mask) == wanted && *key != busy && is_valid((int)*index, *key)) {
            return &tables->edges[(*index)++].seen;
        }
    }
    return NULL;
}

const struct lock_order_seen *lock_table_next_from(int first, uint32_t *index, int *other) {
    uint64_t key = 0;
    const struct lock_order_seen *seen =
        next_edge(((uint64_t)first + 1) << 32, (uint64_t)UINT32_MAX << 32, index, &key);
    *other = seen ? (int)(uint32_t)key - 1 : LOCK_NONE;
    return seen;
}

const struct lock_order_seen *lock_table_next_to(int second, uint32_t *index, int *other) {
    uint64_t key = 0;
    const struct lock_order_seen *seen = next_edge((uint64_t)second + 1, UINT32_MAX, index, &key);
    *other = seen ? (int)(key >> 32) - 1 : LOCK_NONE;
    return seen;
}
