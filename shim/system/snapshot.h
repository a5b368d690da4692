/* Reading what other threads are changing, in a copy of the process.
 *
 * The copy is a child made by bare clone(2): no fork handlers, no SIGCHLD, invisible to a host's wait(2), and its memory
 * stands still. If what it does there crashes or hangs, the child dies and the answer is what it had written by then. The
 * cost is the kernel's for a fork: milliseconds, more in a process of many gigabytes. */
#pragma once

#include <stddef.h>

/* Runs `body(fd, argument)` in a copy of this process and gathers what it writes to fd into `buffer`; returns how many
 * bytes. `body` has only the calling thread: no locks, no malloc, nothing but async-signal-safe functions. -1: the
 * process can't be copied. Waits for the child a few seconds at most. For the watch thread. */
long snapshot_run(void (*body)(int fd, void *argument), void *argument, char *buffer, size_t capacity);
