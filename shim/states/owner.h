/* What is known of one OS thread: the states it owns, which one it attached last, which blocks are open, and what was
 * written into its slot. Knows nothing of rules.
 *
 * A thread that has only ever had one state is "plain": owner_fast says so, and the wrappers tail-call the real
 * function after that one test. Anything else goes through owner_enter .. owner_leave, which decides anew.
 *
 * The record of a thread lives in pages that are never unmapped, so a stale pointer to it is harmless; but a call into
 * CPython may return on another OS thread than it was made on (NanoGUI swaps C stacks), so nobody keeps a pointer to a
 * record across one: ask owner_self() again. */
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
    uint32_t birth;       /* registry's birth number of it then ... */
    uint32_t buried;      /* ... and the epoch at which an earlier one at its address had died */
    const void *died;     /* is_emptied: the one that was filed */
    uint32_t made;        /* registry's birth number of the one that the library made, last seen under the key */
    bool is_lost;         /* it did not survive a fork */
    bool is_cut;          /* emptied by the library on purpose: dissociation */
    bool is_emptied;      /* emptied by us because the state died: the library's own emptying is still to come */
};

/* Behind each concern: which files write it. Besides, owner_leave's look at the truth (owner.c), the death of a state
 * (owner_states.c) and the end of the thread (owner_pool.c) empty any field. */
struct owner {
    /* What is attached: every rule that attaches or detaches. */
    PyThreadState *attached;    /* attached here last, as far as seen: a hint for the truth test up to 3.11 */
    PyThreadState *untaken;     /* the thread's own, attached under a GIL that it did not take (taken.h) */
    PyThreadState *initialized; /* attached by Py_Initialize, which leaves the GIL with the host, not the thread */
    PyThreadState *loan;     /* attached by us for a finalization that was seen coming, until the attach it was for */
    PyThreadState *alias;    /* freed by finalization; the finalizing state stands for it, until life.c is told */
    PyThreadState *clearing; /* while PyThreadState_Clear of it runs, or what frees it: its count may be 0 */

    /* The gilstate slot: settle.c, two_states.c; the last two gilstate.c. */
    PyThreadState *override; /* what we wrote into the slot, while it stands there */
    PyThreadState *home;     /* what the slot held before that, and gets back at the detach */
    uint8_t override_as;     /* enum repair: what `override` was written for */
    bool override_is_guest;  /* of `override`: see owner_is_guest */
    int unseen_count;        /* of `unseen`: the Release that gets back to it leaves the slot alone */
    PyThreadState *unseen;   /* in the slot by our hand, detached by CPython itself, and attached by Ensure meanwhile */

    /* A state of this thread's that another one uses: owner.c. */
    PyThreadState *lent; /* it has moved there, and comes back if that gives it up ... */
    uint32_t lent_birth; /* ... and it is still the same: registry's birth number of it then ... */
    uint32_t lent_at;    /* ... and the epoch at which it moved */
    bool lent_was_home;  /* CPython had `lent` in this thread's slot */

    /* What libraries know of it: keys.c; owner_note_answer. */
    struct list filed;       /* of struct owner_filed */
    PyThreadState *answered; /* what a library was told when it asked for this thread's state ... */
    uint32_t answered_at;    /* ... at that visit: good for the very next one, the attach that it asked for */

    /* Blocks: nesting.c. States kept alive: keep.c. */
    struct list blocks;  /* of struct block: those that are open, innermost last */
    PyThreadState *kept; /* made by an Ensure of this thread's, and kept alive by us: one of its count is ours */

    /* The record itself: owner.c, owner_pool.c. */
    uint32_t visits; /* counts owner_enter, and the calls that go without it */
    uint32_t life;   /* interp_life it belongs to */
    struct owner *next_free;
    bool is_in_use;
    bool has_forked; /* of what it names, only the attached state is sure to have survived */
    bool is_forking; /* between PyOS_BeforeFork and PyOS_AfterFork: CPython's lock on its states is held */
    uint8_t exit_rounds;
};

/* The part that the fast path reads. */
struct owner_fast {
    uint32_t epoch;         /* == interp_epoch: this thread is plain */
    uint32_t verified;      /* epoch at which the record was last compared with the truth; 0: never */
    bool is_watched;        /* a Release that may free the state must be seen: it is filed or registered somewhere */
    bool is_gone;           /* the thread's record was given up (it is ending): everything passes through */
    uint32_t settled;       /* as epoch, and also where calls are recorded or `current` isn't known */
    PyThreadState *parked;  /* plain: its state, detached by PyEval_SaveThread and to be restored */
    current_place *current; /* where CPython keeps what is attached to this thread; NULL: ask */
    slot_place *counted;    /* its slot (or `override`), if the wrapper may count nested Ensures by it; else a NULL */
    slot_place *slot;       /* plain: where its slot is; or that of `own`, if only CPython knows */
    PyThreadState *own;     /* plain: the state in its slot, as long as it can't have been freed */
    uint32_t second;      /* epoch at which the record was left with the slot moved, and nothing else (two_states.h) */
    int saved_count;      /* second: the count of ... */
    PyThreadState *saved; /* ... the state that was saved away since, and for which the slot is to be moved again */
    PyThreadState *home;  /* what the slot holds meanwhile ... */
    bool is_slot_late;    /* ... or will, when a rule is asked (2.7) */
    uint32_t aside;       /* epoch at which the thread was settled, if no rule was asked since (lifecycle.h); or 0 */
    struct owner *record;
};
extern __thread struct owner_fast owner_fast __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Whether the calling thread needs no rule. */
static inline bool owner_is_plain(void) {
    return owner_fast.epoch == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}

/* Whether it needs no rule, but its calls are recorded perhaps. */
static inline bool owner_is_settled(void) {
    return owner_fast.settled == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}

/* From now on the calling thread takes the long way, until owner_leave says otherwise. */
static inline void owner_unsettle(void) {
    owner_fast.epoch = owner_fast.settled = owner_fast.second = owner_fast.aside = 0;
}

/* Constructor: every call is recorded, so that no wrapper may take its short way. */
extern bool owner_is_recorded __attribute__((visibility("hidden")));

/* Bumped when an interpreter starts or ends: records of former lives are worth nothing. */
extern uint32_t owner_life;

/* If set: called on a thread that ends, while its record is still there: once before the destructors of other libraries'
 * keys have run (CPython's slot still answers then), and once, with `is_last`, after them. */
extern void (*owner_before_end)(struct owner *me, bool is_last);

/* Called at the end of the interpreter's life (interp_watch_end), if set. */
extern void (*owner_interpreter_ended)(void);

/* If set: called on a thread that can't have a record, for want of memory or of room for thread-specific data: nothing is
 * repaired on it. Each of its calls tries again. */
extern void (*owner_without_record)(void);

/* Constructor: the key by which a thread's end is noticed, and fork handlers. False: nothing can be tracked. */
bool owner_start(void);

/* Way in of everything that isn't plain: the record, made if there is none, with what is no longer true taken out of
 * it. NULL if there can be none (thread ending, no memory): pass through then. */
struct owner *owner_enter(void);

/* Way out: makes the thread plain if its record has come down to that. Call it before a real call that is the last
 * thing done, or after; never with `me` from before another real call. */
void owner_leave(struct owner *me);

/* The thread's record or NULL, without any work. */
struct owner *owner_self(void);

/* The state attached on this thread, or NULL. Up to 3.11 an attach that nobody saw, of a state that is not in the slot,
 * can't be told from another thread's. */
PyThreadState *owner_attached(struct owner *me);

/* All threads are to look anew at what they have, the calling one only if others have said so, too, since it looked.
 * Returns the new epoch. */
uint32_t owner_tell_others(void);

/* From now on the state is this thread's; other threads that had it will notice. Returns whether it is a guest. */
bool owner_take(struct owner *me, PyThreadState *state);

/* The calling thread's number, for good: a record, or the address of a thread-local, is another thread's next. */
uint32_t owner_number(void);

/* Whether other threads may use `state`, which this one has attached, in turn with it: it was made by another one, or has been
 * another one's, and CPython does not have it in this one's slot. Once it is saved away, anybody may attach it: it is
 * not this thread's to use again before its own attach of it. */
bool owner_is_guest(struct owner *me, const PyThreadState *state);

/* Whether another thread made `state`, and threads use it in turn: from 3.12 on such a one gets into the slot of the first that
 * attaches it, and is not that thread's to use again for it. */
bool owner_is_in_turn(const PyThreadState *state);

/* A library says that this thread has no more to do with `state`, and it is saved away. If it had come from another
 * thread, it is nobody's from now on, and goes back to that one when it has no other; or to who attaches it. Otherwise
 * nothing happens. */
void owner_give_up(struct owner *me, const PyThreadState *state);

/* A library has filed `state`, as registry_find_filed() took note: if it is the one that was attached over the slot's, whether that
 * is a guest is asked anew. */
void owner_was_filed(struct owner *me, const PyThreadState *state);

/* A state was made, and CPython has put it into this thread's slot, or not. Before the next owner_enter, as with
 * owner_state_appeared. True: it is this thread's; false if it isn't, or the thread has no record yet. */
bool owner_state_made(PyThreadState *state, bool is_in_slot);

/* A state is about to be freed: no block of this thread names it any more, and the registry knows. Before the call that
 * frees it: from then on another thread may have a new state at the same address. `may_be_elsewhere`: another thread may
 * have it in its slot or keys. */
void owner_state_ends(struct owner *me, PyThreadState *state, bool may_be_elsewhere);

/* It has been freed: what was noted of it meanwhile goes too. */
void owner_state_ended(struct owner *me, PyThreadState *state);

/* A new state has come into this thread's slot, which was empty: if another one was known at its address, that is told
 * apart. Before the next owner_enter, which would take it for the other. */
void owner_state_appeared(PyThreadState *state);

/* A library was told that `state` is this thread's; and whether that was just before the present visit. */
void owner_note_answer(struct owner *me, PyThreadState *state);
bool owner_was_just_told(const struct owner *me, const PyThreadState *state);

/* The state that was detached last of those that are to be attached again; NULL if there is none. And the same of those that
 * are no guests. Async-signal-safe. */
PyThreadState *owner_last_saved(struct owner *me);
PyThreadState *owner_last_own_saved(struct owner *me);

/* What is filed under `key` on this thread; NULL if nothing is known (find), or no memory (demand). */
struct owner_filed *owner_find_filed(struct owner *me, const void *key);
struct owner_filed *owner_demand_filed(struct owner *me, const void *key);

/* Whether a library has filed `state` on this thread. */
bool owner_files(const struct owner *me, const PyThreadState *state);

/* PyOS_AfterFork_Child is about to free every state but the attached one. (After a real fork nobody need say so.) */
void owner_forked(struct owner *me);

/* The interpreter has started or ended: every record is void. */
void owner_new_life(void);
