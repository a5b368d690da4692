#include "states/registry.h"

#include <stddef.h>
#include <sys/mman.h>

#include "process/locks.h"

/* Open addressing, linear probing, at most half full; grows by doubling. The table has pages of its own, because the
 * caller may be inside malloc. */
enum { FIRST_CAPACITY = 128 };

static struct lock lock = LOCK_INITIALIZER;
static struct registry_entry *table;
static uint32_t capacity; /* a power of two */
static uint32_t used;
static uint32_t births;

static uint32_t home_of(const void *state) {
    return (uint32_t)(((uintptr_t)state >> 4) * 2654435761u >> 7) & (capacity - 1);
}

/* Returns the entry of `state`, or the free place for it. The table must exist. */
static struct registry_entry *probe(const void *state) {
    uint32_t at = home_of(state);
    while (table[at].state && table[at].state != state) {
        at = (at + 1) & (capacity - 1);
    }
    return &table[at];
}

/* Like probe, but returns NULL if there is no table. */
static struct registry_entry *place_of(const void *state) {
    return table ? probe(state) : NULL;
}

static bool grow(void) {
    uint32_t old_capacity = capacity;
    struct registry_entry *old = table;
    uint32_t wanted = old ? capacity * 2 : FIRST_CAPACITY;
    void *pages = mmap(NULL, wanted * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return false;
    }
    table = pages;
    capacity = wanted;
    for (uint32_t i = 0; old && i < old_capacity; i++) {
        if (old[i].state) {
            *probe(old[i].state) = old[i];
        }
    }
    if (old) {
        munmap(old, old_capacity * sizeof *old);
    }
    return true;
}

/* Returns the entry of `state`, made if there is none, or NULL without memory. */
static struct registry_entry *demand(const void *state) {
    struct registry_entry *entry = place_of(state);
    if (entry && entry->state) {
        return entry;
    }
    if (!entry || used * 2 >= capacity) {
        if (!grow()) {
            return NULL;
        }
        entry = probe(state);
    }
    used++;
    *entry = (struct registry_entry){.state = state};
    return entry;
}

/* Empties a place and moves up the entries that it had displaced. */
static void vacate(struct registry_entry *entry) {
    uint32_t hole = (uint32_t)(entry - table);
    used--;
    for (uint32_t at = (hole + 1) & (capacity - 1); table[at].state; at = (at + 1) & (capacity - 1)) {
        uint32_t distance_home = (at - home_of(table[at].state)) & (capacity - 1);
        uint32_t distance_hole = (at - hole) & (capacity - 1);
        if (distance_home >= distance_hole) {
            table[hole] = table[at];
            hole = at;
        }
    }
    table[hole] = (struct registry_entry){.state = NULL};
}

/* Removes an entry. If a state died at this address, some thread may not have noticed yet, so `died` stays; a later
 * state that came and went says nothing about that. Otherwise the place becomes free. */
static void remove_entry(struct registry_entry *entry) {
    if (entry->died) {
        *entry = (struct registry_entry){.state = entry->state, .died = entry->died, .is_history = true};
    } else {
        vacate(entry);
    }
}

bool registry_reserve(void) {
    if (__atomic_load_n(&table, __ATOMIC_RELAXED)) {
        return true;
    }
    locks_take(&lock); /* nothing on a thread that forks, in another library's fork handler */
    bool is_there = table || grow();
    locks_give(&lock);
    return is_there;
}

static inline __attribute__((always_inline)) bool find(const void *state, struct registry_entry *entry, bool is_filed) {
    locks_take(&lock);
    struct registry_entry *found = place_of(state);
    if (is_filed && found && found->state && !found->is_dead) {
        found->is_filed = true;
        found->moves = 0;
    }
    *entry = found ? *found : (struct registry_entry){.state = NULL};
    locks_give(&lock);
    return entry->state && !entry->is_history;
}

bool registry_find(const void *state, struct registry_entry *entry) {
    return find(state, entry, false);
}

bool registry_find_filed(const void *state, struct registry_entry *entry) {
    return find(state, entry, true);
}

void registry_add(const void *state, const void *owner, uint32_t maker, bool has_home, uint32_t epoch) {
    locks_take(&lock);
    struct registry_entry *entry = demand(state);
    if (entry) {
        *entry = (struct registry_entry){.state = state,
                                         .owner = owner,
                                         .taken = epoch,
                                         .died = entry->died,
                                         .maker = maker,
                                         .has_home = has_home,
                                         .birth = ++births};
    }
    locks_give(&lock);
}

bool registry_take(const void *state, const void *owner, uint32_t epoch, bool has_moved) {
    locks_take(&lock);
    struct registry_entry *entry = demand(state);
    if (entry) {
        if (entry->is_dead) {
            entry->birth = 0; /* this is a later state */
        }
        /* A thread that had the state before and has it back, as after a hand-over in a block, takes no turn. */
        entry->moves += has_moved && !entry->is_filed && entry->before != owner && entry->moves < 2;
        entry->before = entry->owner ? entry->owner : entry->before;
        entry->owner = owner;
        entry->taken = epoch;
        entry->is_dead = entry->is_history = entry->is_given_up = false;
        entry->has_moved = entry->has_moved || has_moved;
    }
    locks_give(&lock);
    return entry != NULL;
}

bool registry_give_up(const void *state, const void *owner) {
    locks_take(&lock);
    struct registry_entry *entry = place_of(state);
    bool is_its_own = entry && entry->state && entry->owner == owner && entry->has_moved;
    if (is_its_own) {
        entry->owner = NULL;
        entry->is_given_up = true;
    }
    locks_give(&lock);
    return is_its_own;
}

bool registry_take_back(const void *state, const void *owner, uint32_t birth, uint32_t epoch) {
    locks_take(&lock);
    struct registry_entry *entry = place_of(state);
    bool is_free = entry && entry->state && entry->is_given_up && entry->birth == birth;
    if (is_free) {
        entry->owner = owner;
        entry->taken = epoch;
        entry->is_given_up = false;
    }
    locks_give(&lock);
    return is_free;
}

void registry_bury(const void *state, uint32_t epoch) {
    locks_take(&lock);
    struct registry_entry *entry = demand(state);
    if (entry) {
        *entry = (struct registry_entry){.state = state, .died = epoch, .birth = entry->birth, .is_dead = true};
    }
    locks_give(&lock);
}

/* Removes the entry. `owner`: only if that thread owns it; NULL: whoever owns it. Returns false if the entry has moved
 * and was kept. */
static bool part_with(const void *state, const void *owner, bool keeps_moved) {
    locks_take(&lock);
    struct registry_entry *entry = place_of(state);
    bool is_meant = entry && entry->state && (!owner || entry->owner == owner);
    bool is_kept = is_meant && keeps_moved && entry->has_moved;
    if (is_meant && !is_kept) {
        remove_entry(entry);
    }
    locks_give(&lock);
    return !is_kept;
}

void registry_remove(const void *state) {
    part_with(state, NULL, false);
}

bool registry_remove_unmoved(const void *state) {
    return part_with(state, NULL, true);
}

bool registry_remove_unmoved_of(const void *state, const void *owner) {
    return part_with(state, owner, true);
}

/* `maker`: the number of that owner's thread; 0: no entry is kept. */
static void part_with_owner(const void *owner, uint32_t maker) {
    locks_take(&lock);
    for (uint32_t i = 0; i < capacity; i++) {
        /* Vacating may move another entry into this place, so look at it again. */
        while (table[i].state && table[i].owner == owner) {
            bool is_anothers = table[i].has_moved || (table[i].maker && table[i].maker != maker);
            if (maker && is_anothers) {
                table[i].owner = NULL;
                table[i].moves = table[i].birth ? table[i].moves : 0;
            } else {
                remove_entry(&table[i]);
            }
        }
    }
    locks_give(&lock);
}

void registry_remove_owner(const void *owner) {
    part_with_owner(owner, 0);
}

void registry_leave_owner(const void *owner, uint32_t maker) {
    part_with_owner(owner, maker);
}

void registry_clear(void) {
    locks_take(&lock);
    for (uint32_t i = 0; i < capacity; i++) {
        table[i] = (struct registry_entry){.state = NULL};
    }
    used = 0;
    locks_give(&lock);
}

void registry_before_fork(void) {
    locks_take(&lock);
}

void registry_after_fork(void) {
    locks_give(&lock);
}

uint32_t registry_count(void) {
    return used;
}
