/* A process that has died of a signal: what is known of it, from its core file. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "diagnose/crash_facts.h"
#include "diagnose/stacks.h"
#include "diagnose/wait_graph.h"
#include "inspect/core_image.h"
#include "inspect/dead_states.h"
#include "inspect/watch.h"

enum { CRASHED_WAITERS = 5, CRASHED_DEAD = 5 };

struct crashed {
    const struct core_thread *thread; /* which has crashed */
    char name[32];                    /* of the thread, or "" */
    const struct watched_python *pythons;
    size_t python_count;
    const struct watched_python
        *python; /* the CPython that the thread was in; NULL: there is none that could be read */
    struct crash crash;
    const void *state;         /* whose Python stack is the thread's; NULL: there is none */
    bool is_gil_held;          /* by whomever */
    pid_t holder;              /* the thread that holds the GIL; 0: none, or not known */
    const void *held_by;       /* with this state */
    struct stack holder_stack; /* if it is another thread */
    size_t waiter_count;
    struct waiter waiters[CRASHED_WAITERS]; /* for the GIL */
    size_t dead_count;
    struct dead_state dead[CRASHED_DEAD];
    const char *fatal; /* the function of CPython's by which it has ended itself; NULL: none */
};

/* Returns true if the core file is one of a crash: not of a process that was copied, or ended while it hung. */
bool crashed_is_crash(const struct core_image *core);

/* Explains it. `count` must not be 0. Returns true: a crash is always explained. */
bool crashed_explain(const struct core_image *core, const struct watched_python *pythons, size_t count);

/* Returns one line of advice. */
const char *crashed_advice(const struct crashed *crashed);

/* Write the report (crashed_text.c, crashed_json.c). */
void crashed_write_text(const struct crashed *crashed);
void crashed_write_json(const struct crashed *crashed);
