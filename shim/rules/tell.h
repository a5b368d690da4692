/* What the rules have to tell. A rule says here what it does, at the moment when it does it, and knows nothing of reports,
 * counts and the journal; hooks/tell.c makes them of it.
 *
 * Nothing here allocates or takes a lock, and errno is left as it was. `caller` is the return address in the module that called
 * the API; NULL where there is none. States are compared and printed only. */
#pragma once

#include "cpython/cpython.h"
#include "process/options.h"

/* A repair is at work. `state`, `other`, where known: the state that the call is about, and the one that it met. */
void tell_repaired(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other);

/* The same where calls are not recorded and the verbosity is 0: counted, no more. */
void tell_repaired_quietly(enum repair repair, const void *caller, const PyThreadState *state);

/* `state` is freed, or will be by ourselves: nobody has left it behind. NULL: nothing happens. */
void tell_freed(const PyThreadState *state);

/* The calling thread ends with the GIL, and nothing gives it back. `state`: the one attached. */
void tell_ends_with_gil(const PyThreadState *state, const void *caller);

/* CPython ends the calling thread, which unwinds the code that `caller` is in; nothing is done about it. */
void tell_would_unwind(const void *caller);

/* The calling thread runs no more code, nor destructors of its own, from now on. */
void tell_vanishes(void);

/* Who has attached what the calling thread holds; NULL if it holds nothing, or if calls are not recorded. */
const void *tell_last_attacher(void);
