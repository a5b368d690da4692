/* Free-threaded builds: the pause of all threads that somebody has asked for (cpython/pauses.h), from the target's memory. With the GIL
 * on there are pauses, too: a thread that has no state yet asks for one while another thread has the GIL (PyThreadState_New). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "inspect/watch.h"

struct pause_seen {
    bool has_begun;
    uintptr_t requester; /* the state of the thread that asked for it; 0: it had none attached */
    uintptr_t delayer;   /* !has_begun: a state that is still attached; 0: none was found */
};

/* Reads the pause that there is now. Returns false if there is none, or this is no free-threaded build. */
bool pause_read(const struct watched_python *python, struct pause_seen *seen);

/* Reads it several times, for a quarter of a second; a core file once. Returns true if it was the same pause each time, and the
 * same threads. */
bool pause_lasts(const struct watched_python *python, struct pause_seen *seen);
