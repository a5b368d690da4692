/* What the two sources of module bench_api share. */
#pragma once

#include <stdbool.h>

/* Monotonic, in ns. */
double now(void);

/* Calls a second of `threads` foreign threads at once, each calling in again and again for `seconds`: "storm" by
 * Ensure/Release alone, "busy" with a little Python inside, "release" with the GIL released and taken inside. The calling
 * thread has a state attached, which is saved away meanwhile. -1: no such name, or a thread could not be started. */
double throughput(const char *name, int threads, double seconds);
