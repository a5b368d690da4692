/* The thread that finalizes the interpreter, and the state it does it with. An attach of another state on that thread must not be
 * one like any other: up to 3.11 CPython would end the thread, and from 3.9 on nothing is left of the states that existed
 * before.
 *
 * final_attach takes the GIL, and final_alive for a moment. Not async-signal-safe, but for the two questions about the thread. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* Py_Finalize has been called here, with `state` attached; it has returned. Where it was not seen (Py_RunMain), the first thread
 * is the one. */
void final_begins(PyThreadState *state);
void final_is_over(void);

/* Whether this is the thread that was seen to call Py_Finalize; whether it is the first thread of the process. */
bool final_is_seen_here(void);
bool final_is_first_thread(void);

/* What an attach comes to while the interpreter finalizes. */
enum final_attach {
    FINAL_ORDINARY,    /* nothing was done: the rules for every attach */
    FINAL_ATTACHED,    /* it is done, and reported; the record has been left */
    FINAL_OVER_ITSELF, /* the state is gone: the one that is attached is to be attached over itself */
};

/* An attach of `state` while the interpreter finalizes; `current` is attached (NULL: none). */
enum final_attach final_attach(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                               const void *caller);

/* `state`, which a library has under its key, or the finalizing state if that one has been freed. */
PyThreadState *final_alive(struct owner *me, PyThreadState *state, const void *caller);
