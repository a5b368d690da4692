/* Looks at the target for a while: which threads wait for which GIL all the time, and which GILs move meanwhile. Nothing
 * is stopped: the kernel tells what a thread sleeps in, and the interpreters are read from memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/wait_graph.h"
#include "inspect/interpreter.h"

enum { WATCH_GILS = 64 /* of each CPython */ };

/* A GIL of the target's. */
struct watched_gil {
    struct interpreter_gil now; /* as it was seen last */
    unsigned long changes;      /* how often it went to another state, as far as that is known */
    unsigned long looks;
    unsigned long free_looks; /* how often it was found free */
    bool has_moved;           /* it was seen to change, or to be free */
    pid_t holder;             /* at the beginning; 0: not known */
    uint64_t holder_cpu;      /* ns of CPU time that it had used by then ... */
    uint64_t holder_used;     /* ... and used meanwhile */
    uintptr_t worker;         /* 2.7: the state that held it at the beginning ... */
    int work;                 /* ... and its interpreter_count_of_work */
};

struct watched_python {
    struct interpreter_cpython cpython;
    bool has_picture; /* it has an interpreter, and it could be read */
    struct interpreter_picture picture;
    size_t gil_count;
    struct watched_gil gils[WATCH_GILS];
};

/* Finds the CPythons of the target, and reads their interpreters; what was known before is forgotten. Returns how many CPythons there are, readable or not. */
size_t watch_start(struct watched_python **all);

/* Watches for this long (ns). At the end the interpreters are read again. */
void watch_run(uint64_t duration);

/* Returns since when (ns of CLOCK_MONOTONIC) it was watched. */
uint64_t watch_begun(void);

/* Fills `waiters` with the threads that wait for this GIL: first those that waited all the time, whose number is stored in
 * *all_the_time, then others. Returns how many there are in all, which may be more than `capacity`. Of each waiter tid,
 * name, since and is_older are filled in. */
size_t watch_waiters(const struct watched_python *python, size_t gil, struct waiter *waiters, size_t capacity,
                     size_t *all_the_time);

/* Returns the number of threads of which the kernel did not say what they do. Any of them may wait. Sets *is_all to true if it
 * did so of no thread. */
size_t watch_hidden(bool *is_all);

/* Returns true if the thread waits for a GIL of this CPython, or did when it was seen last. */
bool watch_is_waiter(pid_t tid);
