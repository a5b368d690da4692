/* Reads what other threads are changing, in a copy of the process.
 *
 * The copy is a child made by bare clone(2): it runs no fork handlers, sends no SIGCHLD and is invisible to the host's
 * wait(2). Its memory stands still. If what it does crashes or hangs, the child dies, and the result is what it had
 * written by then. It costs what the kernel takes for a fork: milliseconds, more in a process of many gigabytes. */
#pragma once

#include <stddef.h>

/* Runs `body(fd, argument)` in a copy of this process, and collects what it writes to fd in `buffer`. Returns how many
 * bytes these are, or -1 if the process can't be copied. `body` has only the calling thread, so it must take no locks,
 * call no malloc, and use nothing but async-signal-safe functions. Waits for the child for three seconds at most. For
 * the watch thread. */
long snapshot_run(void (*body)(int fd, void *argument), void *argument, char *buffer, size_t capacity);
