/* stall=SECONDS: a watch thread checks what the other threads are doing now, and reports when one has waited longer
 * than that for the GIL: who waits, who holds it, where, and whether it is a deadlock. It never takes the GIL.
 *
 * Waits that go through the shim are known exactly, from the journal. CPython's own loop releases the GIL and takes it
 * back unseen. A thread that had to release it there and never gets it back is recognized by what it sleeps in: at
 * every look a futex among CPython's own data (3.6 and later), without using CPU time. */
#pragma once

#include <stdbool.h>

/* True if the watch is wanted and not running yet: it is to be started at the next call. */
extern bool stall_is_due;

/* For the constructor, after options and journal. */
void stall_prepare(void);

/* Starts the watch if the program has several threads. Called in a wrapper once CPython is bound. */
void stall_start(void);

/* Starts the watch in any case: the only thread may be about to wait for itself. */
void stall_start_now(void);

static inline void stall_look(void) {
    if (__builtin_expect(__atomic_load_n(&stall_is_due, __ATOMIC_RELAXED), 0)) {
        stall_start();
    }
}
