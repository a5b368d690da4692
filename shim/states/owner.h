/* The record of one OS thread: the states it owns, the state it attached last, its open blocks, and what was written
 * into its slot. It knows nothing of rules.
 *
 * A thread that has only ever had one state is "plain". owner_fast says whether it is, and the wrappers tail-call the
 * real function after that one test. Everything else goes through owner_enter .. owner_leave; owner_leave decides anew
 * whether the thread is plain.
 *
 * Records live in pages that are never unmapped, so a stale pointer to a record is harmless. But a call into CPython
 * may return on another OS thread than the one it was made on (NanoGUI swaps C stacks), so no caller keeps a pointer to
 * a record across such a call: call owner_self() again. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpython/cpython.h"
#include "cpython/current.h"
#include "cpython/interp.h"
#include "cpython/slot.h"
#include "states/blocks.h"
#include "system/list.h"

/* What a library has filed under its key on this thread. */
struct owner_filed {
    const void *key;
    PyThreadState *state; /* NULL: nothing */
    uint32_t birth;       /* the registry's birth number of `state` when it was filed ... */
    uint32_t buried;      /* ... and the epoch at which an earlier state at its address had died */
    const void *died;     /* is_emptied: the state that was filed */
    uint32_t made;        /* birth number of the state that the library made, last seen under the key */
    bool is_lost;         /* `state` did not survive a fork */
    bool is_cut;          /* emptied by the library on purpose: dissociation */
    bool is_emptied;      /* emptied by us because the state died; the library has yet to empty it itself */
};

/* The gilstate slot, where it does not hold what CPython put there. Set by settle.c, and by two_states.c between two rules. Cleared
 * where the block ends that needs it, and when the state dies or moves. */
struct owner_override {
    PyThreadState *state; /* what we wrote into the slot, while the slot holds it; NULL: nothing */
    PyThreadState *home;  /* what the slot held before, and holds again after the detach */
    uint8_t as;           /* enum repair: the repair that wrote it */
    bool is_guest;        /* whether `state` is a guest: see owner_is_guest. Also set by owner_states.c */
};

/* A state that we put into the slot, that CPython itself detached, and that an Ensure then attached. Set by gilstate.c; cleared
 * there, by lifecycle.c where the state is deleted, and when it dies. */
struct owner_unseen {
    PyThreadState *state;
    int count; /* of gilstate_counter: the Release that returns to it does not touch the slot */
};

/* A state of this thread that moved to another one. Set by `lend` (owner.c). It comes back in `take_back` (owner.c) once a library has
 * emptied its key on the other thread (owner_give_up) and it is still the same state. Cleared then, when this thread takes it itself,
 * at a fork, and when it dies. */
struct owner_lent {
    PyThreadState *state;
    uint32_t birth; /* its birth number in the registry ... */
    uint32_t at;    /* ... and the epoch, when it moved */
    bool was_home;  /* CPython had it in this thread's slot */
};

/* What a library was told when it asked for this thread's state. Set by owner_note_answer. It is valid for the next visit, the
 * attach that follows, so nothing has to clear it. */
struct owner_answer {
    PyThreadState *state;
    uint32_t at; /* the visit */
};

/* What is known of a thread, by concern. In addition to the files that are named here, owner_enter clears what is no longer true
 * (owner.c), the death of a state clears what names it (owner_states.c), and the end of the thread all of it (owner_pool.c). */
struct owner {
    /* Attached last on this thread, as far as seen; a hint for owner_attached up to 3.11. Set and cleared by every rule that attaches
     * or detaches. */
    PyThreadState *attached;

    /* The thread's state, attached under a GIL that the thread did not take (taken.h). Set by attach.c and life.c;
     * cleared by its detach, also in oldlock.c and settle.c. */
    PyThreadState *untaken;

    /* Attached by Py_Initialize, which leaves the GIL with the host, not with the thread. Set by life.c. */
    PyThreadState *initialized;

    /* Attached by us for a finalization that is about to run. Set by finalize.c; cleared by the next attach (attach.c). */
    PyThreadState *loan;

    /* Freed by finalization; the finalizing state stands for it. Set by final_state.c; cleared when it is deleted (life.c). */
    PyThreadState *alias;

    /* While PyThreadState_Clear of it, or what frees it, runs: its counter may be 0. Set and cleared by life.c,
     * lifecycle.c, keep.c and owner_states.c. */
    PyThreadState *clearing;

    struct owner_override override;
    struct owner_unseen unseen;
    struct owner_lent lent;

    /* What libraries know of the thread. Set and cleared by keys.c. */
    struct list filed; /* of struct owner_filed */
    struct owner_answer answer;

    /* The open blocks, innermost last. nesting.c decides which; the rules for attach and detach open and end them. */
    struct list blocks; /* of struct block */

    /* Made by an Ensure of this thread and kept alive by us: one of its counts is ours. Set and cleared by keep.c. */
    PyThreadState *kept;

    /* The record itself. Written by owner.c and owner_pool.c. */
    uint32_t visits; /* counts the calls of owner_enter, and the calls that go without it */
    uint32_t life;   /* the owner_life that the record belongs to */
    struct owner *next_free;
    bool is_in_use;
    bool has_forked; /* of the states named here, only the attached one is sure to have survived */
    bool is_forking; /* between PyOS_BeforeFork and PyOS_AfterFork: CPython's lock on its states is held */
    uint8_t exit_rounds;
};

/* The part that the fast path reads. */
struct owner_fast {
    uint32_t epoch;         /* equal to interp_epoch: this thread is plain */
    uint32_t verified;      /* epoch at which the record was last compared with the truth; 0: never */
    bool is_watched;        /* a Release that may free the state must be seen: the state is filed or registered */
    bool is_gone;           /* the thread is ending and has given up its record: every call passes through */
    uint32_t settled;       /* like `epoch`, but also set where calls are recorded or `current` is not known */
    PyThreadState *parked;  /* plain: the thread's state, detached by PyEval_SaveThread, to be restored */
    current_place *current; /* where CPython keeps what is attached to this thread; NULL: not known */
    slot_place *counted;    /* the slot (or `override`) if the wrapper may count nested Ensures by it; else a NULL */
    slot_place *slot;       /* where the slot is; the address of `own` if only CPython knows */
    PyThreadState *own;     /* settled: the state in the slot, as long as it cannot have been freed */

    /* The key that a library found empty last and that was answered from the slot; NULL: none, or the answer may differ
     * now (rules/keys.c). */
    const struct known_key *answered;

    /* The key that was asked for last of those under which nobody has filed a state, and how many keys had been learnt
     * then; the answer may differ once there are more (rules/keys.c). NULL: none. */
    const void *unknown;
    uint32_t unknown_at;

    /* The gear "two states" (two_states.h). */
    uint32_t two_states_epoch;       /* equal to interp_epoch: this thread is in that gear */
    int two_states_saved_count;      /* the counter of `two_states_saved` */
    PyThreadState *two_states_saved; /* the state detached since, for which the slot is to be moved again */
    PyThreadState *two_states_home;  /* what the slot holds while that is detached ... */
    bool two_states_is_late;         /* ... or will hold as soon as a rule is called (2.7) */

    /* The gear "lifecycle" (lifecycle.h). */
    uint32_t lifecycle_epoch; /* what `settled` was when that gear suspended it; 0 as soon as a rule is called */

    struct owner *record;
};
extern __thread struct owner_fast owner_fast __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Returns true if no rule has to be asked on the calling thread, and its calls are not recorded. */
static inline bool owner_is_plain(void) {
    return owner_fast.epoch == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}

/* Returns true if no rule has to be asked on the calling thread. Its calls may be recorded. */
static inline bool owner_is_settled(void) {
    return owner_fast.settled == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}

/* Takes the calling thread out of its gear, so that it goes by the rules, until owner_leave puts it into one. */
static inline void owner_unsettle(void) {
    owner_fast.epoch = owner_fast.settled = owner_fast.two_states_epoch = owner_fast.lifecycle_epoch = 0;
}

/* Set in the constructor: every call is recorded, so no thread is ever plain. */
extern bool owner_is_recorded __attribute__((visibility("hidden")));

/* Incremented when an interpreter starts or ends. Records of former lives are void. */
extern uint32_t owner_life;

/* Called, if set, on a thread that ends, while its record still exists. The first call is made before the destructors
 * of other libraries' keys have run, when CPython's slot still answers. The second call, with `is_last`, is made after
 * them. */
extern void (*owner_before_end)(struct owner *me, bool is_last);

/* Called, if set, at the end of the interpreter's life (interp_watch_end). */
extern void (*owner_interpreter_ended)(void);

/* Called, if set, on a thread that cannot have a record, for want of memory or of room for thread-specific data.
 * Nothing is repaired on such a thread; each of its calls tries again to make a record. */
extern void (*owner_without_record)(void);

/* For the constructor: creates the key by which the end of a thread is noticed, and installs the fork handlers. Returns
 * false if that fails; then no thread can be tracked. */
bool owner_start(void);

/* The way in for every call that is not plain. Returns the calling thread's record, made if there is none, after taking
 * out of it what is no longer true. Returns NULL if there can be no record (the thread is ending, no memory); the call
 * has to be passed through then. */
struct owner *owner_enter(void);

/* The way out: makes the thread plain if nothing in its record prevents it. Call it after a real call, or before one
 * that is the last thing done. Never pass a `me` obtained before another real call. */
void owner_leave(struct owner *me);

/* To be called where the calling thread has just attached its state, or is about to detach it, and other threads may run. Does
 * what would let them run otherwise (bound_is_wanted_in_turn). `me` is what owner_enter has returned, and may be NULL; the return
 * value replaces it. */
struct owner *owner_in_turn(struct owner *me);

/* Returns the calling thread's record, or NULL. Does nothing else. */
struct owner *owner_self(void);

/* Returns the state attached on this thread, or NULL. Up to 3.11 a state that is not in the slot and whose attach
 * nobody saw cannot be told from another thread's. */
PyThreadState *owner_attached(struct owner *me);

/* Makes every thread check anew what it has. The calling thread does so only if other threads have called this, too,
 * since it last checked. Returns the new epoch. */
uint32_t owner_tell_others(void);

/* Makes `state` this thread's. Other threads that had it will notice. Returns true if it is a guest. */
bool owner_take(struct owner *me, PyThreadState *state);

/* Returns the number of the calling thread. It is never used again, unlike a record or the address of a thread-local,
 * which a later thread may get. */
uint32_t owner_number(void);

/* Returns true if other threads may use `state`, which this thread has attached, in turn with it: another thread made
 * or had it, and CPython does not have it in this thread's slot. Once it is detached any thread may attach it, so this
 * thread must not use it again before its own attach of it. */
bool owner_is_guest(struct owner *me, const PyThreadState *state);

/* Returns true if another thread made `state` and threads use it in turn. From 3.12 on CPython puts such a state into
 * the slot of the first thread that attaches it, and that does not entitle that thread to use it again. */
bool owner_is_in_turn(const PyThreadState *state);

/* Called when a library says that this thread has no more to do with `state`, which is detached. If the state came from
 * another thread, it belongs to no thread from now on: it goes back to that thread once that has no other state, or to
 * the thread that attaches it. Otherwise nothing happens. */
void owner_give_up(struct owner *me, const PyThreadState *state);

/* Called after a library filed `state` and registry_find_filed() noted it. If the state is the override, decides anew
 * whether that is a guest. */
void owner_was_filed(struct owner *me, const PyThreadState *state);

/* Called when a state was made, whether or not CPython has put it into this thread's slot. Call it before the next
 * owner_enter, as with owner_state_appeared. Returns true if the state is this thread's, false if it is not or the
 * thread has no record yet. */
bool owner_state_made(PyThreadState *state, bool is_in_slot);

/* Called when a state is about to be freed: removes the blocks of this thread that name it, and tells the registry.
 * Call it before the call that frees the state, because another thread may have a new state at the same address from
 * then on. `may_be_elsewhere`: another thread may have the state in its slot or keys. */
void owner_state_ends(struct owner *me, PyThreadState *state, bool may_be_elsewhere);

/* Called when the state has been freed: removes what was noted of it since owner_state_ends. */
void owner_state_ended(struct owner *me, PyThreadState *state);

/* Called when a new state has come into this thread's slot, which was empty. If another state was known at its address,
 * tells the two apart. Call it before the next owner_enter, which would take the new state for the old one. */
void owner_state_appeared(PyThreadState *state);

/* owner_note_answer: a library was told that `state` is this thread's. owner_was_just_told: returns true if that
 * happened just before the present visit. */
void owner_note_answer(struct owner *me, PyThreadState *state);
bool owner_was_just_told(const struct owner *me, const PyThreadState *state);

/* Return the state that was detached last of those that are to be attached again, or NULL if there is none.
 * owner_last_own_saved leaves out guests. Async-signal-safe. */
PyThreadState *owner_last_saved(struct owner *me);
PyThreadState *owner_last_own_saved(struct owner *me);

/* Return what is filed under `key` on this thread. NULL: nothing is known (find), or no memory (demand). */
struct owner_filed *owner_find_filed(struct owner *me, const void *key);
struct owner_filed *owner_demand_filed(struct owner *me, const void *key);

/* Returns true if a library has filed `state` on this thread. */
bool owner_files(const struct owner *me, const PyThreadState *state);

/* Called when PyOS_AfterFork_Child is about to free every state but the attached one. Not needed after a real fork,
 * which a fork handler notices. */
void owner_forked(struct owner *me);

/* Called when the interpreter has started or ended: voids every record. */
void owner_new_life(void);
