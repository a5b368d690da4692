/* What is known when a report is written. For report*.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/report.h"
#include "journal/journal.h"

enum { REPORT_FRAMES = 32 };

/* What only the report of a crash says (crash_text.c). */
struct crash;
struct crash_words {
    void (*add_line)(struct text *text, const struct crash *crash, pid_t tid, const char *thread_name);
    void (*add_json)(struct json *json, const struct crash *crash);
    const char *(*advice)(const struct crash *crash);
};

struct report;

/* Adds what a finding of check=locks has that other reports do not. So reports need not know who finds what. */
struct finding_words {
    void (*add_who)(struct text *text, const struct report *report);   /* to the first line: the call, the thread */
    void (*add_other)(struct text *text, const struct report *report); /* behind what it means: the other side */
    void (*put)(const struct report *report);                          /* the lines behind the first one */
    void (*add_json)(struct json *json, const struct report *report);  /* all of it as members */
};

struct report {
    enum report_grade grade;
    enum report_kind kind;
    const void *caller;
    const char *call; /* name of the API function; NULL: not known */
    const PyThreadState *state, *other;
    const void *culprit;   /* place in the library that caused it: the caller, or who attached `state` before */
    uint16_t culprit_call; /* the call made there, if it is not the caller */
    uint64_t culprit_time; /* ... and when, in ticks */
    char reason[1200];     /* what the finder of a GIL error adds, or "" */
    const char *said;      /* CPython's words in its fatal error, or "" */
    const struct lock_finding *finding;        /* of check=locks; NULL: none */
    const struct finding_words *finding_words; /* ... and who tells it */
    pid_t tid;
    char thread_name[32];        /* the thread's Python name, else the OS's, else "" */
    bool is_whole;               /* write all that is known, not only the first line */
    uint64_t now;                /* ticks */
    PyThreadState *python_state; /* the state whose Python stack can be printed; NULL: none */
    const char *python_stack;    /* a crash's, as CPython printed it; NULL: none */
    const struct crash *crash;   /* what is known of a crash; NULL: it is none */
    const struct crash_words *crash_words;
    size_t frame_count;
    bool are_frames_guessed;
    void *frames[REPORT_FRAMES];
};

/* Write a report. Both take some 40 KiB of stack: call them through aside_run. */
void report_write_text(const struct report *report);
void report_write_json(const struct report *report);

/* The parts of the text, for a report whose parts may fail (crash.c). Async-signal-safe. `is_whole`: false if CPython
 * crashed while it printed. */
void report_put_first(const struct report *report);
void report_put_native_stack(const struct report *report);
void report_put_python_stack(const char *stack, bool is_whole);
void report_put_events(const struct report *report);
void report_put_advice(const struct report *report);

/* Counts the crash that `report` describes, and names its thread. Returns false if it is suppressed.
 * Async-signal-safe. */
bool report_admits_crash(struct report *report);

/* Adds the first words: "repaired held", "FATAL would follow". */
void report_add_heading(struct text *text, const struct report *report);

/* Copies the name of a recorded thread: Python's, else the OS's, else "". Opens a file of /proc if names are not kept
 * (journal_start). Async-signal-safe. */
void report_name_of(const struct journal_thread *thread, char name[32]);

/* Adds a thread: 4711 "worker" */
void report_add_thread(struct text *text, pid_t tid, const char *name);

/* Returns the name of an API function, or "" for JOURNAL_NO_CALL. */
const char *report_call_name(uint16_t call);

/* Writes the line of a report. Shows the first one of a process to a debugger, from `prefix` on. */
void report_put(struct text *text, size_t prefix);
