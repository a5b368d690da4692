/* Reports. The rules (through hooks/tell.c) and the observers call these functions. Each call becomes an event in the
 * journal and, if it is to be told, a report: one line of text, or all that is known, or a line of JSON.
 *
 * Nothing here allocates or takes a lock of its own. errno is preserved, and errors of the output do no harm (log.h).
 * `caller` is the return address in the module that called. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "cpython/cpython.h"
#include "process/log.h"
#include "process/options.h"

/* The API function through which the calling thread came in. Its reports name it. */
struct report_call {
    const void *caller;
    uint16_t call;     /* index into real_api_names */
    const void *frame; /* frame address of the function that the caller called */
};
extern __thread struct report_call report_call __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* The repairs, followed by what reports.def lists. */
enum report_kind {
    REPORT_LAST_REPAIR = REPAIR_COUNT - 1,
#define REPORT(name, what) REPORT_##name,
#include "reports.def"
#undef REPORT
    REPORT_KINDS
};

/* How serious a report is; its first word. */
enum report_grade {
    REPORT_REPAIRED,         /* no harm: it was repaired */
    REPORT_WOULD_REPAIR,     /* mode=observe, strict: no harm now, but a later call goes wrong */
    REPORT_DEADLOCK_FOLLOWS, /* this very call would wait for ever, or the other threads after it */
    REPORT_FATAL_FOLLOWS,    /* this call ends the process */
    REPORT_FATAL,            /* the process is being ended */
    REPORT_WARNING,
    REPORT_GIL_ERROR, /* a finding of the GIL sanitizer: damage may have been done, or may follow */
};

/* Notes a repair. It is always counted, and is told once per repair and calling site with verbosity 1 and up. `caller`:
 * may be NULL. `state` and `other`: the state that the call is about and the one it met, if known; they are only
 * compared and printed. */
void report_repair_of(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other);

/* Like report_repair_of, where calls are not recorded and the verbosity is 0: only counts the repair,
 * and writes an event if it is the first at its site. */
void report_repair_untold(enum repair repair, const void *caller, const PyThreadState *state);

/* Reports anything else, once per kind and calling site. REPORT_WARNING is told with verbosity 1 and up, or if calls
 * are recorded, unless quiet. REPORT_WOULD_REPAIR is not told in mode=observe if quiet. All other grades are told in
 * any case. In mode=strict ends the process after the report, except after REPORT_REPAIRED, REPORT_WARNING and
 * REPORT_FATAL. In mode=observe with exitcode= ends it after REPORT_DEADLOCK_FOLLOWS. */
void report_tell(enum report_grade grade, enum report_kind kind, const void *caller, const PyThreadState *state,
                 const PyThreadState *other);

/* Reports what check=locks has found, at `caller` in this call of the API (JOURNAL_NO_CALL: in none), where the finder
 * has not told it before. `words` writes what is special about it (report_detail.h). Told with any verbosity. In mode=strict, or with check_action=abort, ends the process after
 * the report. */
struct lock_finding;
struct finding_words;
void report_find(enum report_kind kind, const void *caller, uint16_t call, const struct lock_finding *finding,
                 const struct finding_words *words);

/* Reports a warning about another thread, which may have ended: `call` is what it called, `tid` and `thread` its id and
 * name. */
void report_tell_of(enum report_kind kind, const struct report_call *call, const PyThreadState *state, pid_t tid,
                    const char *thread);

/* Reports a finding of the GIL sanitizer, once per kind and calling site, in any case. `function`: the function that was
 * called. `add_reason`: adds what is said at the end of the first line; NULL: nothing. It is called on the stack for
 * reports. Ends the process in mode=strict, and with check_action=abort, which leaves a core dump. */
void report_gil_error(enum report_kind kind, const char *function, const void *caller, const void *frame,
                      const PyThreadState *state, void (*add_reason)(struct text *text, uint64_t now));

/* Set in the constructor: abort, for check_action=abort. The exported abort reports, so that it can't be called from
 * here by name. */
extern void (*report_abort)(void);

/* Reports that the process is being ended (abort). `caller`: led to it (NULL: not known). `entry`: the function of
 * CPython that it called (NULL: not known). `said`: CPython's own words ("": not known). Short if the same was foretold
 * on this thread. Async-signal-safe. */
void report_fatal(enum report_kind kind, const void *caller, const char *entry, const char *said);

/* The process is about to be ended by abort, and that was reported, or is suppressed. The first function notes that, and
 * the second one tells. Async-signal-safe. */
void report_end_is_told(void);
bool report_end_was_told(void);

/* Return the name of a kind, what it means, and one line of advice. */
const char *report_name(enum report_kind kind);
const char *report_what(enum report_kind kind);
const char *report_advice(enum report_kind kind);

/* Returns the number of reports that count for exitcode=: all that were not suppressed, told or not, but no repairs
 * that are not to be told. */
unsigned report_count(void);

/* Called with the first report of a process, after its line is written. Does nothing; run-with-shim.sh -d has gdb stop
 * here. */
void gilshim_first_report(const char *line);

/* The same as log_line and log_open, for callers that use these names. */
static inline void report_line(const char *text) {
    log_line(text);
}
static inline void report_open(void) {
    log_open();
}
