/* The process's standard output and standard error, as they were when it started. A daemon that closes them gets their
 * numbers again for its database or its sockets, and those must not be written to.
 *
 * A program may also give itself another stderr on purpose: Apache puts its error log there. The call tells the two
 * cases apart: dup2, dup3 and freopen name the number, while open, accept and the like take a free one. So we export
 * dup2, dup3, freopen and freopen64. They do what the real ones do, and note the new file if they were successful. We
 * do not see what glibc does internally (daemon(3) puts /dev/null there), nor a file put there by close and open:
 * nothing is written then.
 *
 * After exec, the descriptors that a program finds are its standard ones, whatever they are: nobody can tell. */
#pragma once

#include <stdbool.h>

/* Notes what descriptors 1 and 2 are now. Constructor only. */
void streams_start(void);

/* Returns true if descriptor 1 or 2 is still (or again) what it was noted to be. Async-signal-safe. */
bool streams_has(int fd);
