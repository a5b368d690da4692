/* Which thread a state belongs to, across threads: state -> owner. Touched on slow paths only. Knows nothing of rules;
 * states and owners are just addresses here, never dereferenced.
 *
 * All functions take the registry's lock for the time of a table access and call nothing meanwhile but mmap; none may
 * be called in a signal handler. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct registry_entry {
    const void *state;
    const void *owner;  /* NULL: never attached by anybody that was seen; given up; its thread ended; or dead */
    const void *before; /* the owner before this one, if there was another; its record may be another thread's by now */
    uint32_t taken;     /* epoch at which the owner took it */
    uint32_t died;    /* epoch at which the last state at this address died that another thread may have in its slot */
    uint32_t maker;   /* number of the thread that made it; 0: its making was not seen */
    uint32_t birth;   /* tells a state from a later one at the same address; 0: its making was not seen */
    bool has_home;    /* CPython put it into its maker's slot */
    bool is_dead;     /* and so it was this one */
    bool is_history;  /* nothing is known but that: there may be a later state here */
    bool is_given_up; /* its last owner has no more to do with it, and it lives */
    bool is_filed;    /* a library made it for itself, or hands it from thread to thread: nobody takes turns on it */
    uint8_t moves;    /* how often it has moved without that and not back, up to 2 */
    bool has_moved;   /* taken from another owner, or from nobody knows where: another thread may have it in its slot */
};

/* Whether something is known of `state`; *entry is a copy of it, all 0 where there is none. Of an address where some
 * thread may still believe its dead state to be, `died` is told also when the answer is no. */
bool registry_find(const void *state, struct registry_entry *entry);

/* The same, and takes note that a library has filed it (`is_filed`): its moves do not count any more. */
bool registry_find_filed(const void *state, struct registry_entry *entry);

/* Makes the table, if there is none yet; false without memory. */
bool registry_reserve(void);

/* A new state was made by the thread of this number, and is in its slot or not (`has_home`): it gets a birth number of its own. `owner` has it from `epoch` on; NULL:
 * nobody yet. */
void registry_add(const void *state, const void *owner, uint32_t maker, bool has_home, uint32_t epoch);

/* `owner` has it from `epoch` on. Adds the entry where there is none; where the one known is dead, it is a later state, whose
 * making was not seen. `has_moved` stays once it is said. False if memory could not be had. */
bool registry_take(const void *state, const void *owner, uint32_t epoch, bool has_moved);

/* `owner` gives it up, if it is its own and has moved to it. False: it is not, and nothing was done. */
bool registry_give_up(const void *state, const void *owner);

/* `owner` has it from `epoch` on, if it is given up and has this birth number. False: it is not, and nothing was done. */
bool registry_take_back(const void *state, const void *owner, uint32_t birth, uint32_t epoch);

/* It died at `epoch` while a thread other than its killer may have it in its slot: remembered until the address is
 * used again. */
void registry_bury(const void *state, uint32_t epoch);

/* It is gone and nobody else can know it. What is known of an earlier one at its address stays. */
void registry_remove(const void *state);

/* The same, unless it has moved: false, and nothing was done. */
bool registry_remove_unmoved(const void *state);

/* The same, of `owner`'s (not NULL) only: there may be a new one at the address already, of somebody else. */
bool registry_remove_unmoved_of(const void *state, const void *owner);

/* The same for all entries of an owner (its OS thread is not there after fork). */
void registry_remove_owner(const void *owner);

/* The owner's OS thread, which has this number, ends. Its entries go; but one that has moved, or was made by another thread, stays
 * without an owner: the state may live on in other hands, and a thread that has it in its slot has to be told of its death. How
 * often it has moved counts anew where its making was not seen: by the next time there may be another one at the address. */
void registry_leave_owner(const void *owner, uint32_t maker);

/* All entries go (the interpreter is gone). */
void registry_clear(void);

/* Around fork: the table must not be half-written in the child. */
void registry_before_fork(void);
void registry_after_fork(void);

/* Number of entries, for tests. */
uint32_t registry_count(void);
