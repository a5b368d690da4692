/* The gilstate slot: the place where CPython keeps, per OS thread, the state that PyGILState_* uses (autoTSSkey).
 * It is private but can be found. Every write is verified with CPython's own getter. Knows nothing of who owns
 * which state. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"

/* Returns what CPython's own getter says for this thread. Async-signal-safe except on 2.7, whose getter takes a lock of
 * its own (keymutex in thread.c). In the child of a fork, that lock is not usable until PyOS_AfterFork has made another
 * one. */
PyThreadState *slot_get(void);

/* Finds where the slot is kept, if that is not known yet and this thread's slot is not empty (with an empty slot there
 * is nothing to look for). Cheap if it is known. Blocks signals while it looks. */
void slot_learn(void);

/* If set, it is called when slot_set can't write for want of memory (on a thread whose slot has never had a state). */
extern void (*slot_without_room)(void);

/* Returns true if the slot can be written. */
bool slot_is_known(void);

/* Returns where the calling thread's slot is, if it is a thread-local of CPython's (3.15+) and its place is known, or
 * else NULL. */
const void *slot_in_tls(void);

/* A word that holds what slot_get() returns on the calling thread. */
typedef PyThreadState *const volatile slot_place;

/* Returns such a word, checked against `in_slot`, which slot_get() has just returned: glibc's own word for the key (up
 * to 3.14), or CPython's. Returns NULL if it is not known (2.7; more keys in use than glibc has at hand). */
slot_place *slot_find(const PyThreadState *in_slot);

/* Sets this thread's slot to `state` (NULL: empty). If bound_is_clear(state), empties it: CPython itself puts that
 * state there at the next attach. Returns false, with nothing changed, if the slot's place is not known or CPython does
 * not see the write (after it was initialized again; the place is then looked for again, once). */
bool slot_set(PyThreadState *state);

/* Returns true on 2.7, where the slot is in a list of CPython's, under a lock. The slot of an ended thread becomes that
 * of the next thread with the same ident, if nobody empties it. Its state may have been freed. */
bool slot_goes_by_ident(void);

/* To be called when the calling thread ends. Empties the slot on 2.7, where it would outlive the thread and become that
 * of the next thread with the same ident. */
void slot_thread_ends(void);

/* Forgets the place: the interpreter has gone and its key with it, and another key may have its number now. */
void slot_forget(void);
