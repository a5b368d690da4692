/* fork, seen: the shim's locks (locks.h) are held by the thread that forks, so that they are free, and what they guard is
 * whole, in the child. A child of vfork, _Fork or clone comes without: it may call nothing that takes a lock, and the shim
 * takes none of its own accord. */
#pragma once

#include <stdbool.h>

/* Constructor, before whoever else of the shim wants to know of forks: pthread_atfork's handlers run in reverse order
 * before the fork, so these come last there, and first behind it. False: no memory for it. */
bool fork_prepare(void);
