/* Which GIL. From 3.12 on an interpreter may have one of its own; the others share the main interpreter's. A GIL is called by
 * the id of the interpreter that it was made for: 0 is the main interpreter's. Read from CPython's memory, as it was at the last
 * gil_look. For one thread: the watch thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"
#include "system/thread.h"

enum { GIL_NOT_TOLD = -1 /* there is one only, or it can't be told which */ };

/* Reads which interpreters there are, and which GIL each has. While there is one interpreter, that is one comparison. */
void gil_look(void);

/* Returns true if there were several GILs. If not, everything below says GIL_NOT_TOLD. */
bool gil_are_several(void);

/* Returns the GIL of the interpreter that the state belongs to. The state may be gone, and its memory, too. */
int64_t gil_of_state(const void *state);

/* Returns the GIL that a thread in this system call waits for; GIL_NOT_TOLD if it waits for none. */
int64_t gil_of_wait(const struct thread_look *look);

/* Sets `*state` to the state with which the GIL is held, or to NULL if it is free. Looks several times, because a GIL is free
 * for a moment whenever another thread takes it. Returns false if it can't be read. */
bool gil_read_holder(int64_t gil, PyThreadState **state);
