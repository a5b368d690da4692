#include "diagnose/report.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/python.h"
#include "cpython/real.h"
#include "diagnose/call_sites.h"
#include "diagnose/current_thread.h"
#include "diagnose/frames.h"
#include "diagnose/report_detail.h"
#include "diagnose/suppress.h"
#include "journal/journal.h"
#include "system/aside.h"
#include "system/elf.h"
#include "system/thread.h"
#include "system/ticks.h"

__thread struct report_call report_call __attribute__((tls_model("initial-exec")));

void (*report_abort)(void);

static unsigned counted;

unsigned report_count(void) {
    return __atomic_load_n(&counted, __ATOMIC_RELAXED);
}

/* A report during another one on the same thread (in a signal handler, or when CPython dies while it prints) is only
 * counted. */
static __thread bool is_reporting __attribute__((tls_model("initial-exec")));

/* What only some reports have. */
struct subject {
    pid_t tid; /* 0: the calling thread */
    const char *name;
    const char *function; /* the function that was called, if it is not a wrapped one; NULL: report_call has it */
    const char *said;     /* CPython's words in its fatal error; NULL: none */
    void (*add_reason)(struct text *text, uint64_t now);
    const struct lock_finding *finding; /* of check=locks; NULL: none */
    const struct finding_words *words;
};

/* Returns true if CPython may be asked about the calling thread. It reads the attached state for an answer. In the child of a fork
 * it does not know of that yet, nor may an allocator. */
static bool can_ask_python(const struct report *report) {
    return report->grade != REPORT_FATAL && report->kind != REPORT_dead_state && (int)report->kind != REPAIR_fork;
}

static void name_thread(struct report *report) {
    struct journal_thread thread;
    char name[sizeof thread.python_name];
    int index = journal_find(report->tid);
    if (can_ask_python(report) && current_thread_can_ask() && python_thread_name(name, sizeof name)) {
        journal_name_thread(name);
        memcpy(report->thread_name, name, sizeof name);
    } else if (index >= 0 && journal_read_thread((unsigned)index, &thread) && thread.python_name[0]) {
        memcpy(report->thread_name, thread.python_name, sizeof thread.python_name);
    } else {
        thread_read_name(report->tid, report->thread_name);
    }
}

/* Removes the shim's own frames from the top of the stack. */
static void drop_own_frames(struct report *report) {
    struct elf_object self, object;
    size_t own = 0;
    if (!elf_find_by_address((const void *)report_tell, &self)) {
        return;
    }
    while (own < report->frame_count && elf_find_by_address(report->frames[own], &object) &&
           elf_is_same(&object, &self)) {
        own++;
    }
    report->frame_count -= own;
    memmove(report->frames, report->frames + own, report->frame_count * sizeof report->frames[0]);
}

static bool ends_process(enum report_grade grade) {
    return (options.mode == MODE_STRICT && grade != REPORT_REPAIRED && grade != REPORT_WARNING &&
            grade != REPORT_FATAL) ||
           (options.mode == MODE_OBSERVE && grade == REPORT_DEADLOCK_FOLLOWS && options.exitcode != EXITCODE_NONE);
}

/* A library that calls PyGILState_Ensure correctly may meet a state that another library attached. The report then
 * names that one. */
static void find_culprit(struct report *report) {
    struct journal_event event;
    unsigned index;
    int kind = (int)report->kind;
    bool is_met = kind == REPAIR_duplicate || kind == REPAIR_moved || kind == REPAIR_subinterp;
    report->culprit = report->caller;
    report->culprit_call = JOURNAL_NO_CALL;
    if (is_met && journal_find_attach_by(report->tid, report->state, &event, &index) && event.kind != JOURNAL_NEW &&
        event.caller) {
        report->culprit = event.caller;
        report->culprit_call = event.call;
        report->culprit_time = event.time;
    }
}

/* The calling site of the last report on this thread if it foretold a fatal error; else NULL. */
static __thread const void *foretold __attribute__((tls_model("initial-exec")));

/* What is to be told, as an argument for aside_run (aside.h). */
struct news {
    enum report_grade grade;
    enum report_kind kind;
    const void *caller;
    const char *call;
    const PyThreadState *state, *other;
    struct subject subject;
};

static void write_report(const struct news *news) {
    struct report report = {.grade = news->grade,
                            .kind = news->kind,
                            .caller = news->caller,
                            .call = news->call,
                            .state = news->state,
                            .other = news->other};
    enum report_grade grade = news->grade;
    const struct subject *subject = &news->subject;
    report.said = subject->said ? subject->said : "";
    struct text reason = text_start(report.reason, sizeof report.reason);
    report.finding = subject->finding;
    report.finding_words = subject->words;
    report.tid = subject->tid ? subject->tid : (pid_t)syscall(SYS_gettid);
    report.now = ticks_now();
    if (subject->add_reason) {
        subject->add_reason(&reason, report.now);
    }
    text_end(&reason);
    report.is_whole =
        options.verbosity >= 2 || (grade != REPORT_REPAIRED && grade != REPORT_WARNING && grade != REPORT_WOULD_REPAIR);
    if (grade == REPORT_FATAL && news->caller && foretold == news->caller) {
        report.is_whole = false;
    }
    foretold = grade == REPORT_FATAL_FOLLOWS ? news->caller : NULL;
    if (subject->tid) {
        memcpy(report.thread_name, subject->name, strnlen(subject->name, sizeof report.thread_name - 1));
    } else {
        name_thread(&report);
    }
    find_culprit(&report);
    if (report.is_whole && !subject->tid) {
        report.frame_count = frames_here(report.frames, REPORT_FRAMES, report_call.frame, &report.are_frames_guessed);
        drop_own_frames(&report);
        bool is_safe = python_has_traceback() && !interp_is_finalizing() && can_ask_python(&report);
        report.python_state = is_safe ? current_thread_attached() : NULL;
    }
    if (options.log_format == LOG_JSON) {
        report_write_json(&report);
    } else {
        report_write_text(&report);
    }
}

static int status_of_end(void) {
    return options.exitcode != EXITCODE_NONE ? options.exitcode : EXITCODE_STRICT;
}

static void write_end(void) {
    char buffer[100];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "ending the process here with status ");
    text_add_decimal(&text, (uint64_t)status_of_end());
    log_line(text_end(&text));
}

static void write_aside(void *argument) {
    const struct news *news = argument;
    write_report(news);
    if (ends_process(news->grade)) {
        write_end();
    }
}

static void write_news(const struct news *news) {
    int saved_errno = errno;
    is_reporting = true;
    if (!aside_run(write_aside, (void *)news)) {
        log_lose();
    }
    is_reporting = false;
    errno = saved_errno;
}

/* ---- suppressions: asked once for each site --------------------------------------------------------------------- */

struct question {
    const char *name, *called;
    const void *caller;
    unsigned verdict;
};

static void judge(void *argument) {
    struct question *question = argument;
    question->verdict = suppress_find(question->name, question->called, question->caller);
}

static bool is_suppressed(enum report_kind kind, const char *called, const void *caller) {
    if (!suppress_is_any()) {
        return false;
    }
    unsigned verdict = call_sites_verdict(kind, caller);
    if (verdict == SUPPRESS_UNKNOWN) {
        struct question question = {report_name(kind), called, caller, SUPPRESS_UNKNOWN};
        if (aside_run(judge, &question)) {
            verdict = question.verdict;
            call_sites_judge(kind, caller, verdict);
        }
    }
    return suppress_count(verdict);
}

static bool end_was_told;

void report_end_is_told(void) {
    end_was_told = true;
}

bool report_end_was_told(void) {
    return end_was_told;
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

/* `is_wanted`: false: it is not to be told. */
static void tell(enum report_grade grade, enum report_kind kind, const struct report_call *call,
                 const PyThreadState *state, const PyThreadState *other, struct subject subject, bool is_wanted) {
    bool is_first = call_sites_count(kind, call->caller) || subject.finding; /* its finder knows what is told */
    if ((!is_wanted && grade == REPORT_REPAIRED) || is_suppressed(kind, subject.function, call->caller)) {
        return;
    }
    __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
    if (!is_first || !is_wanted || is_reporting) {
        return;
    }
    const char *name = subject.function              ? subject.function
                       : call->call < REAL_API_COUNT ? real_api_names[call->call]
                                                     : NULL;
    if (grade == REPORT_GIL_ERROR) { /* only the first at its site: a loop would fill the ring */
        journal_note(JOURNAL_MISUSE, call->call, (uint8_t)kind, state, call->caller);
    }
    write_news(&(struct news){grade, kind, call->caller, name, state, other, subject});
    if (ends_process(grade)) {
        _exit(status_of_end());
    }
    if (grade == REPORT_GIL_ERROR && options.check_aborts) {
        report_end_is_told();
        report_abort();
    }
}

/* Exported and not inlined, so that a debugger finds it in a stripped library, too. */
__attribute__((visibility("default"), noinline)) void gilshim_first_report(const char *line) {
    __asm__ volatile("" : : "r"(line) : "memory");
}

void report_put(struct text *text, size_t prefix) {
    static bool shown;
    log_text(text);
    if (!__atomic_exchange_n(&shown, true, __ATOMIC_RELAXED)) {
        text->buffer[text->length] = '\0'; /* in place of the newline */
        gilshim_first_report(text->buffer + prefix);
    }
}

static struct report_call call_from(const void *caller) {
    return (struct report_call){caller, report_call.caller == caller ? report_call.call : JOURNAL_NO_CALL,
                                report_call.frame};
}

void report_repair_of(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other) {
    struct report_call call = call_from(caller);
    journal_note(JOURNAL_REPAIR, call.call, (uint8_t)repair, state, caller);
    tell(REPORT_REPAIRED, (enum report_kind)repair, &call, state, other, (struct subject){0}, options.verbosity >= 1);
}

void report_repair_untold(enum repair repair, const void *caller, const PyThreadState *state) {
    if (call_sites_count((enum report_kind)repair, caller)) {
        journal_note(JOURNAL_REPAIR, call_from(caller).call, (uint8_t)repair, state, caller);
    }
}

static bool tells_warnings(void) {
    return options.verbosity >= 1 || (journal_is_on && !options.quiet);
}

void report_tell(enum report_grade grade, enum report_kind kind, const void *caller, const PyThreadState *state,
                 const PyThreadState *other) {
    struct report_call call = call_from(caller);
    if (grade != REPORT_FATAL) {
        journal_note(JOURNAL_MISUSE, call.call, (uint8_t)kind, state, caller);
    }
    bool is_kept_back = grade == REPORT_WOULD_REPAIR && options.mode == MODE_OBSERVE && options.quiet;
    tell(grade, kind, &call, state, other, (struct subject){0},
         !is_kept_back && (grade != REPORT_WARNING || tells_warnings()));
}

void report_gil_error(enum report_kind kind, const char *function, const void *caller, const void *frame,
                      const PyThreadState *state, void (*add_reason)(struct text *text, uint64_t now)) {
    struct report_call before = report_call, call = {caller, JOURNAL_NO_CALL, frame};
    report_call = call; /* where frames_here begins to search */
    tell(REPORT_GIL_ERROR, kind, &call, state, NULL, (struct subject){.function = function, .add_reason = add_reason},
         true);
    report_call = before;
}

void report_find(enum report_kind kind, const void *caller, uint16_t call, const struct lock_finding *finding,
                 const struct finding_words *words) {
    struct report_call before = report_call, mine = {caller, call, NULL};
    report_call = mine; /* without the frame of an earlier call: the stack is to begin where the thread is */
    tell(REPORT_GIL_ERROR, kind, &mine, NULL, NULL, (struct subject){.finding = finding, .words = words}, true);
    report_call = before;
}

void report_tell_of(enum report_kind kind, const struct report_call *call, const PyThreadState *state, pid_t tid,
                    const char *thread) {
    tell(REPORT_WARNING, kind, call, state, NULL, (struct subject){.tid = tid, .name = thread}, tells_warnings());
}

void report_fatal(enum report_kind kind, const void *caller, const char *entry, const char *said) {
    call_sites_count(kind, caller);
    if (is_suppressed(kind, NULL, caller)) {
        return;
    }
    __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
    write_news(&(struct news){REPORT_FATAL, kind, caller, entry, NULL, NULL, {.said = said}});
}

bool report_admits_crash(struct report *report) {
    call_sites_count(report->kind, report->caller);
    if (is_suppressed(report->kind, NULL, report->caller)) {
        return false;
    }
    __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);
    name_thread(report);
    return true;
}
