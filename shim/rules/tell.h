/* What the rules have to tell. A rule says here what it does, at the moment when it does it, and knows nothing of
 * reports, counts and the journal. hooks/tell.c makes these of it.
 *
 * Nothing here allocates or takes a lock, and errno is preserved. `caller` is the return address in the module that
 * called the API, or NULL where there is none. States are only compared and printed. */
#pragma once

#include "cpython/cpython.h"
#include "process/options.h"

/* Says that a repair is at work. `state` is the state that the call is about and `other` the one that it met; either is
 * NULL where it is not known. */
void tell_repaired(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other);

/* The same where calls are not recorded and the verbosity is 0: the repair is counted, and noted in the journal if it
 * is the first at its site. */
void tell_repaired_quietly(enum repair repair, const void *caller, const PyThreadState *state);

/* Says that `state` is freed, or that the shim will free it, so that no thread has left it behind. Does nothing if
 * `state` is NULL. */
void tell_freed(const PyThreadState *state);

/* Says that the calling thread ends with the GIL, which nothing gives back. `state` is the attached state, or NULL. */
void tell_ends_with_gil(const PyThreadState *state, const void *caller);

/* Says that CPython ends the calling thread, which unwinds the code that `caller` is in, and that nothing is done about
 * it. */
void tell_would_unwind(const void *caller);

/* Says that the calling thread runs no more code from now on, not even its destructors. */
void tell_vanishes(void);

/* Returns the caller that attached what the calling thread holds, or NULL if the thread holds nothing or calls are not
 * recorded. */
const void *tell_last_attacher(void);
