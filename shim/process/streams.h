/* The process's standard output and standard error, as they were when it started: a daemon that closes them gets their numbers
 * again for its database or its sockets, and those must not be written to.
 *
 * A program may also give itself another stderr, on purpose: Apache puts its error log there. That is told from the other by
 * the call: dup2, dup3 and freopen name the number, while open, accept and the like take what is free. So these are exported;
 * they do what the real ones do, and note where they were successful. What glibc does inside itself (daemon(3) puts /dev/null
 * there) and what is put there by close and open is not seen: nothing is written then.
 *
 * After exec the descriptors that a program finds are its standard ones, whatever they are: nobody can tell. */
#pragma once

#include <stdbool.h>

/* Notes what 1 and 2 are now. Constructor only. */
void streams_start(void);

/* Whether descriptor 1 or 2 is still (or again) what it was noted to be. Async-signal-safe. */
bool streams_has(int fd);
