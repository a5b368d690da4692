/* Threads of the shim's own, with all signals blocked: the stall watch and the timeline's writer. They make no call
 * into CPython that needs the GIL, and never keep a process alive.
 *
 * A program with one thread can do what a program with several can't (enter a user namespace). What it drops
 * (capabilities, or rights by a seccomp filter or no_new_privs), it drops for the one thread that it has. So none of
 * our threads starts before the program has a second thread, and none stays that may do more than the program's. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* True if the program has started a thread, or is about to. */
extern bool background_has_company;

/* Constructor: notes which thread is the first. */
void background_prepare(void);

/* Returns true if the program has more than its first thread, as far as that was seen. */
bool background_may_start(void);

/* Starts a thread that runs `run`, named `name` (at most 15 characters; must stay valid). Allocates. Preserves errno.
 * Returns false if the thread could not be started. */
bool background_start(void (*run)(void), const char *name);

/* Returns true if the calling thread of ours may go on. Otherwise, `run` must return, and *reason is what to report.
 * *reason is NULL if no thread of the host's is left (the main thread and all others have ended by pthread_exit). Then
 * there is nothing to report, and the process is to end as it would have without our threads. Costs one system call,
 * and ten more twenty times a second. */
bool background_may_go_on(const char **reason);

/* In the fork child: notes that none of our threads is left, and that the calling thread is the first.
 * Async-signal-safe. */
void background_forked(void);

/* Sleeps for that many nanoseconds, or until a signal handler has run. */
void background_sleep(uint64_t nanoseconds);
