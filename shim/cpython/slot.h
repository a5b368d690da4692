/* The gilstate slot: the place where CPython keeps, per OS thread, the state that PyGILState_* uses (autoTSSkey). It is
 * private but can be found; every write is verified with CPython's own getter. Knows nothing of who owns what. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* What CPython's own getter says for this thread. Async-signal-safe but on 2.7, which takes a lock of its own for it (keymutex in
 * thread.c); that lock is not usable in the child of a fork either, until PyOS_AfterFork has made another one. */
PyThreadState *slot_get(void);

/* Finds where the slot is kept, if that is not known yet and this thread's slot is not empty (with an empty slot there
 * is nothing to look for). Cheap when known. Blocks signals while it looks. */
void slot_learn(void);

/* If set: called where slot_set can't write for want of memory (a thread whose slot has never had a state). */
extern void (*slot_without_room)(void);

/* Whether the slot can be written. */
bool slot_is_known(void);

/* Where the calling thread's slot lies if it is a thread-local of CPython's (3.15+) and that is known; else NULL. */
const void *slot_in_tls(void);

/* A word that holds what slot_get() answers on the calling thread. */
typedef PyThreadState *const volatile slot_place;

/* Such a word, checked against `in_slot`, what slot_get() has answered just now: glibc's own of the key (up to 3.14), or
 * CPython's. NULL if it is not known (2.7; more keys in use than glibc has at hand). */
slot_place *slot_find(const PyThreadState *in_slot);

/* Makes this thread's slot `state` (NULL: empty). False, and nothing changed, if the slot's place is not known or
 * CPython does not see the write (re-initialized meanwhile: the place is looked for again, once). */
bool slot_set(PyThreadState *state);

/* 2.7: the slot is in a list of CPython's, under a lock. That of an ended thread is the next thread's of the same ident, if nobody
 * empties it; its state may be freed. */
bool slot_goes_by_ident(void);

/* The calling thread ends. 2.7's slot would outlive it and be the next thread's of the same ident. */
void slot_thread_ends(void);

/* The interpreter has gone and its key with it: the number may be anybody's now. */
void slot_forget(void);
