/* The exported dlclose, and threads that look at libraries of which they hold no handle. While one looks, no other may
 * close what it looks at: libpython's tables and functions are read and called outside ld.so's lock. Each waits for the
 * other, for a limited time, because a thread inside dlclose may hold the loader's lock or wait for the looking one. */
#pragma once

#include <stdbool.h>

/* To be called before libraries are looked at on behalf of a thread that may hold no handle of them. Waits until no other
 * thread is inside dlclose. Returns whether that is so. closing_end_look must follow in either case. */
bool closing_begin_look(void);

/* To be called after closing_begin_look: dlclose goes on. */
void closing_end_look(void);

/* To be called in a fork child: the other threads have gone. */
void closing_after_fork(void);
