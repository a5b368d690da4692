/* Saying what was seen. What rules say (hooks/tell.c) and what is observed comes to these functions; each becomes an event in the journal,
 * and, if it is to be told, a report: one line of text, or all that is known, or a line of JSON.
 *
 * Nothing here allocates or takes a lock of its own, errno is left as it was, and whatever happens to the output does no
 * harm (log.h). `caller` is the return address in the module that called. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cpython/cpython.h"
#include "process/log.h"
#include "process/options.h"

/* By which function of the API the calling thread came in: named in its reports. */
struct report_call {
    const void *caller;
    uint16_t call;     /* index of real_api_names */
    const void *frame; /* frame address of the function that the caller called */
};
extern __thread struct report_call report_call __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The repairs, and behind them what reports.def lists. */
enum report_kind {
    REPORT_LAST_REPAIR = REPAIR_COUNT - 1,
#define REPORT(name, what) REPORT_##name,
#include "reports.def"
#undef REPORT
    REPORT_KINDS
};

/* What kind of news it is, the first word of a report. */
enum report_grade {
    REPORT_REPAIRED,         /* nothing happens: it was repaired */
    REPORT_WOULD_REPAIR,     /* mode=observe, strict: nothing happens now, a later call meets it */
    REPORT_DEADLOCK_FOLLOWS, /* ... and this very call would wait for ever */
    REPORT_FATAL_FOLLOWS,    /* this call ends the process */
    REPORT_FATAL,            /* the process is being ended */
    REPORT_WARNING,
};

/* A repair at work. Told once per repair and calling site, with verbosity 1 and up;
 * counted always. `caller`: NULL where there is none. `state` and `other`, where known: the state that the call is about and
 * the one it met; they are only compared and printed. */
void report_repair_of(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other);

/* The same for a short way, where calls are not recorded and the verbosity is 0: counted, and an event if it is the first at
 * its site. */
void report_repair_untold(enum repair repair, const void *caller, const PyThreadState *state);

/* Anything else. Told once per kind and calling site, whatever the verbosity if the process is about to die of it, else
 * from verbosity 1 on. Ends the process in mode=strict, and by exitcode= where the call would wait for ever. */
void report_tell(enum report_grade grade, enum report_kind kind, const void *caller, const PyThreadState *state,
                 const PyThreadState *other);

/* A warning about another thread, which may have ended: by which call, and its id and name. */
void report_tell_of(enum report_kind kind, const struct report_call *call, const PyThreadState *state, pid_t tid,
                    const char *thread);

/* The process is being ended (abort), led to by `caller` (NULL: not known), which called `entry` of CPython's (NULL: not
 * known); `said`: CPython's own words ("": not known). Async-signal-safe. Short, where the same was foretold on this thread. */
void report_fatal(enum report_kind kind, const void *caller, const char *entry, const char *said);

/* Its name; what it means; one line of advice. */
const char *report_name(enum report_kind kind);
const char *report_what(enum report_kind kind);
const char *report_advice(enum report_kind kind);

/* How many reports there were that count for exitcode=: everything that was not suppressed, told or not. */
unsigned report_count(void);

/* Called with the first report of a process, as its line is out; does nothing. run-with-shim.sh -d has gdb stop here. */
void gilshim_first_report(const char *line);

/* As log_line and log_open, for those who know them by these names. */
static inline void report_line(const char *text) {
    log_line(text);
}
static inline void report_open(void) {
    log_open();
}
