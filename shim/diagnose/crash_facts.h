/* What is known of a crash. For crash*.c and report*.c. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/crash_stack.h"
#include "diagnose/current_thread.h"
#include "journal/journal.h"
#include "system/json.h"
#include "system/text.h"

/* What it looks like. */
enum crash_class {
    CRASH_UNKNOWN,   /* whether the thread has the GIL cannot be told */
    CRASH_SENT,      /* another process sent the signal */
    CRASH_FINALIZED, /* Python has been finalized, or is being finalized, or was never initialized */
    CRASH_DELETED,   /* the state that is attached, or being attached, was deleted */
    CRASH_NO_STATE,  /* in CPython without the GIL */
    CRASH_OUTSIDE,   /* without the GIL, but not in CPython */
    CRASH_WITH_GIL,
};

struct crash {
    int number;
    siginfo_t info; /* of the fault, also if a handler of the program has raised the signal again */
    struct crash_stack stack;
    bool is_overflow; /* the thread's stack has run out */
    enum current_thread_gil gil;
    const PyThreadState *state; /* attached, or (if `is_attaching`) to be attached by the call that has crashed */
    bool is_attaching;
    bool is_state_gone; /* the state is in no list of CPython's (known only from outside, without a journal) */
    bool is_unwatched;  /* it happened without the shim: nothing was noted */
    enum crash_class class;
    const char *ending;           /* CRASH_FINALIZED: what has become of Python */
    struct journal_event deleted; /* CRASH_DELETED: the event, and whose */
    pid_t deleter;
    bool has_event;
    struct journal_event event; /* the last GIL event of the thread */
    uint64_t now;               /* ticks */
};

/* Fills `crash` from what the handler was given, except for `stack`, which is read. Async-signal-safe. */
void crash_find_facts(int number, const siginfo_t *info, struct crash *crash);

/* The process in which it happened. */
struct crash_process {
    pid_t pid;
    bool is_known;       /* its CPython is */
    bool is_initialized; /* ... and this is so; `ending` of the crash says what has become of it otherwise */
};

/* Sets `class` and `is_overflow`, and with them what was deleted, from all other fields. Async-signal-safe. */
void crash_judge(struct crash *crash, const struct crash_process *process);

/* Adds the first line after the kind: "libfoo.so: SIGSEGV at 0x10 ...". */
void crash_add_line(struct text *text, const struct crash *crash, pid_t tid, const char *thread_name);

/* Adds the members that only a crash has. */
void crash_add_json(struct json *json, const struct crash *crash);

/* Returns one line of advice. */
const char *crash_advice(const struct crash *crash);
