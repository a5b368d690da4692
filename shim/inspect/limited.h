/* Limits of time and memory that hold whatever the work does. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Runs work(argument) in a child process, and copies what it writes to standard output to our own. Time that is spent writing
 * there (a pager that waits for its reader) does not count. Returns what `work` returned, or `failed` after a line on standard
 * error: because `limit` (ns) has passed, more than `memory` (bytes) is in use, the work has died, or the output can't be written. Then the child is killed, but not
 * waited for: a thread that sleeps in the kernel for a dead file server, or for a lock of the process that is read, can't be woken
 * by a signal handler. The child ends with us. */
int limited_run(uint64_t limit, size_t memory, int (*work)(void *argument), void *argument, int failed);
