/* Which GIL an event was about. The timeline is written some time after the event, when the interpreter may be gone: what was known
 * of it is kept. For the thread that drains. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* To be called before events are drained: what is kept is looked at again, because another interpreter may be at the same
 * address. */
void timeline_gils_forget(void);

/* Returns true if the GIL was off at the last timeline_gils_forget. */
bool timeline_gils_is_off(void);

/* Returns the GIL of the interpreter, as gil.h calls it: GIL_NOT_TOLD if there is one only, or it can't be told. */
int64_t timeline_gils_of(const void *interpreter);

/* The same of a state that a thread is waiting to attach, and which is there for that reason. */
int64_t timeline_gils_of_state(const void *state);
