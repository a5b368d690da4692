/* The thread that finalizes the interpreter, and the state with which it does so. An attach of another state on that
 * thread cannot be handled like any other: up to 3.11 CPython would end the thread, and from 3.9 on none of the states
 * that existed before is left.
 *
 * final_attach takes the GIL, and final_alive takes it for a moment. Only final_is_seen_here and final_is_first_thread
 * are async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* final_begins notes that the calling thread finalizes the interpreter, with `state` attached. final_is_over notes that
 * finalization has ended. Where Py_Finalize is called unseen (Py_RunMain), the first thread is taken for the finalizing
 * one. */
void final_begins(PyThreadState *state);
void final_is_over(void);

/* The first returns true if the calling thread was seen to call Py_Finalize and is still inside. The second returns
 * true if the calling thread is the first of the process. */
bool final_is_seen_here(void);
bool final_is_first_thread(void);

/* What final_attach has done. */
enum final_attach {
    FINAL_ORDINARY,    /* nothing: the rules for every attach apply */
    FINAL_ATTACHED,    /* `state` is attached, and that is reported; the record has been left */
    FINAL_OVER_ITSELF, /* `state` is gone: the caller has to attach the attached state over itself */
};

/* Handles an attach of `state` while the interpreter finalizes. `current` is the attached state, or NULL; `by` is the
 * way the attach was asked for. */
enum final_attach final_attach(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                               const void *caller);

/* Returns the state to use for `state`, which a library has under its key. That is `state`, unless the calling thread
 * finalizes and `state` has been freed; then it is the attached state, or the finalizing one if none is attached. */
PyThreadState *final_alive(struct owner *me, PyThreadState *state, const void *caller);
