/* Which GIL. From 3.12 on an interpreter may have one of its own; the others share the main interpreter's. A GIL is called by
 * the id of the interpreter that it was made for: 0 is the main interpreter's. Read from CPython's memory. What is said of "the last
 * gil_look" is for one thread: the watch thread. The rest is for any thread, takes no lock and allocates nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"
#include "system/thread.h"

enum {
    GIL_NOT_TOLD = -1, /* there is one only, or it can't be told which */
    /* The GIL is off (pauses.h). What threads wait for is a pause of all threads: until it begins, or until it is over. Who "holds"
     * that has kept its state attached, so that the pause can't begin, or is the one that has asked for it. */
    GIL_PAUSE = -2,
};

/* Return the GIL of an interpreter, or of the one that a state belongs to, as it is now. Either may be gone, and its memory, too.
 * GIL_NOT_TOLD if there is one interpreter. */
int64_t gil_now_of_interpreter(const void *interpreter);
int64_t gil_now_of_state(const void *state);

/* In the fork child: no other thread is at work here. */
void gil_forked(void);

/* Reads which interpreters there are, and which GIL each has. While there is one interpreter, that is one comparison. */
void gil_look(void);

/* Returns true if there were several GILs at the last gil_look. If not, everything below says GIL_NOT_TOLD or GIL_PAUSE. */
bool gil_are_several(void);

/* Returns true if the GIL was off at the last gil_look. Then gil_of_state says GIL_PAUSE. */
bool gil_is_off(void);

/* Returns true if there is one GIL for all threads now: as interp_has_one_gil() says, and in a build without it, if that is known
 * to be on and there is one interpreter. Takes no lock; async-signal-safe. */
bool gil_is_one(void);

/* Returns the GIL of the interpreter that the state belongs to. The state may be gone, and its memory, too. */
int64_t gil_of_state(const void *state);

/* Returns the GIL that a thread in this system call waits for; GIL_NOT_TOLD if it waits for none. */
int64_t gil_of_wait(const struct thread_look *look);

/* Sets `*state` to the state with which the GIL is held, or to NULL if it is free. Looks several times, because a GIL is free
 * for a moment whenever another thread takes it. GIL_PAUSE: sets it to the state that keeps the pause from beginning; if it has
 * begun, to the one that asked for it. Returns false if it can't be read. */
bool gil_read_holder(int64_t gil, PyThreadState **state);

/* Sets `*switches` to how often the GIL has gone from one thread to another (3.7+). `gil`: GIL_NOT_TOLD for the only one. While a
 * thread keeps it, or is in a deadlock with it, the number stays the same. Returns false, with 0, if it can't be read. */
bool gil_read_switches(int64_t gil, uint64_t *switches);

/* Returns true if the last gil_read_holder of GIL_PAUSE found a pause that has begun. */
bool gil_pause_has_begun(void);
