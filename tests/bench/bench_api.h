/* What the two sources of module bench_api share. */
#pragma once

#include <stdbool.h>

/* Monotonic, in ns. */
double now(void);

/* ns of the processor for one of `what`, while `states` more thread states exist: "made", one more is made and deleted;
 * "life", a foreign thread comes, calls in and ends; "save", the GIL is let go and taken. The calling thread has a state
 * attached. -1: no such name. */
double at_scale(const char *what, int states);

/* ns of the processor that the process has had: other processes don't count. */
double spent(void);

/* Calls a second of processor time, of `threads` foreign threads at once, each calling in again and again for `seconds`: "storm" by
 * Ensure/Release alone, "busy" with a little Python inside, "release" with the GIL released and taken inside. The calling
 * thread has a state attached, which is saved away meanwhile. -1: no such name, or a thread could not be started. */
double throughput(const char *name, int threads, double seconds);
