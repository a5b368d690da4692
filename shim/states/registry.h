/* Maps each state to the thread that owns it, across threads. Used on slow paths only. Knows nothing of rules; states
 * and owners are just addresses here and are never dereferenced.
 *
 * All functions but registry_count take the registry's lock while they use the table, and call nothing but mmap and
 * munmap while they hold it. None is async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct registry_entry {
    const void *state;
    const void *owner;  /* NULL: no attach was seen; given up; its thread ended; or dead */
    const void *before; /* the owner before this one, if another; that record may be another thread's by now */
    uint32_t taken;     /* epoch at which `owner` took it */
    uint32_t died;      /* epoch at which the last state here died that another thread may have in its slot */
    uint32_t maker;     /* number of the thread that made it; 0: its making was not seen */
    uint32_t birth;     /* tells a state from a later one at the same address; 0: its making was not seen */
    bool has_home;      /* CPython put it into its maker's slot */
    bool is_dead;       /* the state that died at `died` is this one */
    bool is_history;    /* only `died` is known: there may be a later state here */
    bool is_given_up;   /* its last owner has no more to do with it, and it is alive */
    bool is_filed;      /* a library made it for itself, or hands it from thread to thread: not used in turn */
    uint8_t moves;      /* how often it has moved, up to 2; moves back and moves when `is_filed` are not counted */
    bool has_moved;     /* taken from another or an unknown owner: another thread may have it in its slot */
};

/* Returns true if something is known of `state`. *entry is set to a copy of its entry, or to all 0 if there is none. If
 * some thread may still have a dead state at this address in its slot, `died` is set even where the result is false. */
bool registry_find(const void *state, struct registry_entry *entry);

/* Like registry_find, and notes that a library has filed `state` (`is_filed`): its moves no longer count. */
bool registry_find_filed(const void *state, struct registry_entry *entry);

/* Makes the table if there is none yet. Returns false without memory. */
bool registry_reserve(void);

/* Adds a state that the thread with the number `maker` has made, and gives it a new birth number. `has_home`: it is in
 * that thread's slot. `owner` has it from `epoch` on; NULL: no thread has it yet. Without memory, does nothing. */
void registry_add(const void *state, const void *owner, uint32_t maker, bool has_home, uint32_t epoch);

/* Makes `owner` the owner of `state` from `epoch` on. Adds an entry if there is none. If the known state is dead, this
 * is a later one whose making was not seen. `has_moved` stays set once it was passed. Returns false without memory. */
bool registry_take(const void *state, const void *owner, uint32_t epoch, bool has_moved);

/* Makes `owner` give up `state`. Returns false, and does nothing, if `owner` does not own it or it has not moved. */
bool registry_give_up(const void *state, const void *owner);

/* Makes `owner` the owner from `epoch` on of a state that is given up and has this birth number. Returns false, and
 * does nothing, if it is not given up or has another birth number. */
bool registry_take_back(const void *state, const void *owner, uint32_t birth, uint32_t epoch);

/* Notes that `state` died at `epoch` while a thread other than its killer may have it in its slot. `is_dead` stays set
 * until the address is used again, `died` until the registry is cleared. */
void registry_bury(const void *state, uint32_t epoch);

/* Removes a state that is gone and that no other thread can know. `died` of an earlier state at its address stays. */
void registry_remove(const void *state);

/* Like registry_remove, but returns false, and does nothing, if the state has moved. */
bool registry_remove_unmoved(const void *state);

/* Like registry_remove_unmoved, but only if `owner` (not NULL) owns the state: another thread may already have a new
 * one at the address. */
bool registry_remove_unmoved_of(const void *state, const void *owner);

/* Like registry_remove, for all entries of an owner whose OS thread is not there after a fork. */
void registry_remove_owner(const void *owner);

/* Called when the OS thread of `owner`, which has the number `maker`, ends. Removes its entries. An entry that has
 * moved, or whose state another thread made, stays without an owner: the state may be used by other threads, and a
 * thread that has it in its slot has to be told of its death. If its making was not seen, its moves count from 0 again,
 * because there may be another state at the address next time. */
void registry_leave_owner(const void *owner, uint32_t maker);

/* Removes all entries. The interpreter is gone. */
void registry_clear(void);

/* Called around fork: the table must not be half-written in the child. */
void registry_before_fork(void);
void registry_after_fork(void);

/* Returns the number of entries. For tests; takes no lock. */
uint32_t registry_count(void);
