/* timeline=FILE: what the threads did with the GIL, for ui.perfetto.dev and chrome://tracing.
 *
 * A writer thread reads the threads' rings in the journal and writes spans ("holds the GIL", inside it the attached
 * state, "waits for the GIL") and instants for repairs. The threads themselves do nothing for it. A ring that overflows
 * between two reads loses events: the file has a span "dropped" there, and a warning counts them. With timeline_wait=1
 * a thread with more than half a ring of unread events waits for the writer, a second at most. A wait that has not
 * ended at the end of the process is drawn as such. Holds run between API calls: a release and reacquisition in
 * CPython's own loop is not seen. */
#pragma once

#include <stdbool.h>

enum { TIMELINE_EVENTS = 65536 }; /* size of a thread's ring */

/* True if the writer is wanted and not running yet: it is to be started at the next call. */
extern bool timeline_is_due;

/* For the constructor, after options and journal. */
void timeline_prepare(void);

/* Opens the file. Starts the writer if the program has several threads or the calling thread has noted 1024 events.
 * Called once CPython is bound. */
void timeline_start(void);

static inline void timeline_look(void) {
    if (__builtin_expect(__atomic_load_n(&timeline_is_due, __ATOMIC_RELAXED), 0)) {
        timeline_start();
    }
}

/* Called when the process ends: writes what is left and closes the file. Waits for the writer a second at most. Safe
 * where malloc must not be called. Does nothing the second time, or in a process that does not write. */
void timeline_finish(void);
