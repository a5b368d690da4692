/* What is known when a report is written; for report*.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/report.h"
#include "journal/journal.h"

enum { REPORT_FRAMES = 32 };

struct report {
    enum report_grade grade;
    enum report_kind kind;
    const void *caller;
    const char *call; /* name of the API function; NULL: not known */
    const PyThreadState *state, *other;
    const void *culprit;   /* where in the library that brought it about: the caller, or who attached `state` before */
    uint16_t culprit_call; /* by which call, if it is not the caller */
    uint64_t culprit_time; /* ... and when; ticks */
    const char *said;      /* by CPython, of its fatal error; "" */
    pid_t tid;
    char thread_name[32];        /* its Python name, or the OS's; "" */
    bool is_whole;               /* all that is known, not only the first line */
    uint64_t now;                /* ticks */
    PyThreadState *python_state; /* whose Python stack can be had; NULL: nobody's */
    size_t frame_count;
    bool are_frames_guessed;
    void *frames[REPORT_FRAMES];
};

/* Both take some 40 KiB of stack: for aside_run. */
void report_write_text(const struct report *report);
void report_write_json(const struct report *report);

/* The first words: "repaired held", "FATAL would follow". */
void report_add_heading(struct text *text, const struct report *report);

/* The name of a thread that was recorded: Python's, or the OS's, "" if neither is known. Opens a file of
 * /proc where names are not kept (journal_start). Async-signal-safe. */
void report_name_of(const struct journal_thread *thread, char name[32]);

/* "4711 "worker"" */
void report_add_thread(struct text *text, pid_t tid, const char *name);

/* Its name in the API, "" for none. */
const char *report_call_name(uint16_t call);

/* Writes the line of a report; the first one of a process is shown to a debugger, from `prefix` on. */
void report_put(struct text *text, size_t prefix);
