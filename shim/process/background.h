/* Threads of the shim's own, with all signals blocked: the stall watch, the timeline's writer. They make no call into CPython
 * that needs the GIL, and never keep a process alive.
 *
 * A program that has one thread can do what one with several can't (enter a user namespace), and what it drops (capabilities,
 * by a seccomp filter, by no_new_privs) it drops for the thread that it has. So none of ours is there before the program
 * has a thread besides its first, and none stays that may do more than the program's. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* The program has started a thread, or is about to. */
extern bool background_has_company;

/* Constructor: which thread is the first. */
void background_prepare(void);

/* Whether the program has more than its first thread, as far as it was seen. */
bool background_may_start(void);

/* Starts a thread that runs `run`, named `name` (at most 15 characters). Allocates. False: it could not be had. */
bool background_start(void (*run)(void), const char *name);

/* Whether the calling thread of ours may go on. If not, `run` must return. *reason is then what to tell; NULL: nothing, no
 * thread of the host's is left (the main thread has ended by pthread_exit and so have all others), and the process is to
 * end as it would have without ours. Costs one system call, and ten more twenty times a second. */
bool background_may_go_on(const char **reason);

/* In the fork child: none of them is left, and the calling thread is the first. Async-signal-safe. */
void background_forked(void);

/* Sleeps. */
void background_sleep(uint64_t nanoseconds);
