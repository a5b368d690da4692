/* What happens to the shim's locks (locks.h) at a fork. The forking thread holds them, so that in the child they can be
 * released and the data they guard is consistent. A child of vfork, _Fork or clone comes without this. It may call
 * nothing that takes a lock, and the shim takes none there of its own accord. */
#pragma once

#include <stdbool.h>

/* For the constructor, before any other part of the shim registers fork handlers: pthread_atfork calls handlers in
 * reverse order before the fork, so that these come last before it and first after it. Returns false if there is no
 * memory. */
bool fork_prepare(void);
