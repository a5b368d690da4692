/* timeline=FILE: what the threads did with the GIL, for ui.perfetto.dev and chrome://tracing.
 *
 * A thread reads the threads' rings in the journal and writes spans: "holds the GIL", inside it the state
 * that is attached, "waits for the GIL"; and instants for repairs. The threads themselves do nothing for it. A ring that
 * runs over between two looks loses events: the file has a span "dropped" there, and a warning counts them. With timeline_wait=1
 * a thread that has filled half of its ring waits until it has been read. A wait that has not ended by the end is drawn as such. Holds are those between API calls: what CPython's own
 * loop gives away and takes back in between is not seen. */
#pragma once

#include <stdbool.h>

enum { TIMELINE_EVENTS = 65536 }; /* that a thread's ring has to have */

/* Whether the writer is wanted and does not run yet: a start is due at the next call. */
extern bool timeline_is_due;

/* Constructor, after options and journal. */
void timeline_prepare(void);

/* Opens the file, and starts the writer if the program has several threads or has filled half of a ring. Called when CPython is
 * bound. */
void timeline_start(void);

static inline void timeline_look(void) {
    if (__builtin_expect(__atomic_load_n(&timeline_is_due, __ATOMIC_RELAXED), 0)) {
        timeline_start();
    }
}

/* The process ends: writes what is left and closes the file. Waits for the writer a second at most. Safe where no
 * malloc is. Does nothing the second time, and in a process that does not write. */
void timeline_finish(void);
