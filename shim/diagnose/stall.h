/* stall=SECONDS: a thread looks at what the others do now, and tells when one has waited longer for the GIL:
 * who waits, who holds it, where, and whether that is a deadlock. It never takes the GIL.
 *
 * Waits that go through the shim are known exactly, from the journal. CPython's own loop gives the GIL away and takes it
 * back unseen; a thread that was forced off there and never gets it again is found by what it sleeps in: a futex among
 * CPython's own data (3.6 and later), at every look, without CPU time passing. */
#pragma once

#include <stdbool.h>

/* Whether the watch is wanted and does not run yet: a start is due at the next call. */
extern bool stall_is_due;

/* Constructor, after options and journal. */
void stall_prepare(void);

/* Starts the watch if the program has several threads. Called in a wrapper, when CPython is bound. */
void stall_start(void);

/* Starts it in any case: the only thread there is may be about to wait for itself. */
void stall_start_now(void);

static inline void stall_look(void) {
    if (__builtin_expect(__atomic_load_n(&stall_is_due, __ATOMIC_RELAXED), 0)) {
        stall_start();
    }
}
