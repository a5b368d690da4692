#include "diagnose/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/python.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/crash_facts.h"
#include "diagnose/report_detail.h"
#include "process/background.h"
#include "process/options.h"
#include "system/aside.h"
#include "system/loader.h"
#include "system/signal_stack.h"

static pid_t process; /* a child of vfork has this memory and another pid; 0: no reports are wanted */

static void after_fork_in_child(void) {
    process = getpid();
    signal_stack_forked();
}

void crash_start(void) {
    process = getpid();
    (void)pthread_atfork(NULL, NULL, after_fork_in_child); /* without memory, children are silent */
    signal_stack_start();
}

bool crash_is_of(int number) {
    return process &&
           (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE || number == SIGABRT);
}

/* ---- who reports ------------------------------------------------------------------------------------------------- */

/* The thread that reports, with its process: what is left of another process in a fork child does not count. */
static uint64_t reporter;

enum role { REPORTER, REPORTER_AGAIN, OTHER };

static enum role find_role(void) {
    uint64_t pid = (uint64_t)getpid(), me = pid << 32 | (uint64_t)syscall(SYS_gettid);
    uint64_t now = __atomic_load_n(&reporter, __ATOMIC_ACQUIRE);
    while (now >> 32 != pid) {
        if (__atomic_compare_exchange_n(&reporter, &now, me, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            return REPORTER;
        }
    }
    return now == me ? REPORTER_AGAIN : OTHER;
}

/* Waits for the process to end. A cancellation would unwind from the instruction that crashed. */
static void wait_for_end(void) {
    enum { PATIENCE_MS = 5000 };
    int unused;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &unused);
    for (int i = 0; i < PATIENCE_MS; i++) {
        background_sleep(1000000);
    }
}

/* ---- steps that may crash ---------------------------------------------------------------------------------------- */

/* Of the reporting thread. Where it goes on when the step in which it is crashes. */
static struct {
    sigjmp_buf next;
    volatile bool is_in_step;
    int first; /* the signal that is being reported */
} steps;

/* Does `step`. Returns false if it crashes. */
static bool try_step(void (*step)(void *argument), void *argument) {
    if (sigsetjmp(steps.next, 1) != 0) {
        return false;
    }
    steps.is_in_step = true;
    step(argument);
    steps.is_in_step = false;
    return true;
}

/* A fault in a step is to come to the handler, not to end the process at once, as it does while its signal is
 * blocked. */
static void unblock_faults(void) {
    sigset_t faults;
    sigemptyset(&faults);
    sigaddset(&faults, SIGSEGV);
    sigaddset(&faults, SIGBUS);
    sigaddset(&faults, SIGFPE);
    sigaddset(&faults, SIGILL);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

enum { PYTHON_STACK = 6000 };

/* What the handler was given. */
struct given {
    int number;
    const siginfo_t *info;
    const void *context;
};

struct job {
    struct given given;
    struct crash crash;
    struct report report;
    int python_fd; /* the reading end; -1: none */
    bool is_wanted;
    char python_stack[PYTHON_STACK];
};

static void take_stack(void *argument) {
    struct job *job = argument;
    crash_stack_take(job->given.info, job->given.context, &job->crash.stack);
}

static void find_facts(void *argument) {
    struct job *job = argument;
    crash_find_facts(job->given.number, job->given.info, &job->crash);
}

static const struct crash_words words = {crash_add_line, crash_add_json, crash_advice};

static void fill_report(void *argument) {
    struct job *job = argument;
    struct report *report = &job->report;
    const struct crash_stack *stack = &job->crash.stack;
    report->grade = REPORT_FATAL;
    report->kind = REPORT_crash;
    report->crash = &job->crash;
    report->crash_words = &words;
    report->caller = report->culprit = stack->culprit ? stack->culprit : stack->place;
    report->call = stack->is_in_cpython && stack->culprit ? stack->entry : NULL;
    report->culprit_call = JOURNAL_NO_CALL;
    report->state = job->crash.state;
    report->said = "";
    report->tid = (pid_t)syscall(SYS_gettid);
    report->now = job->crash.now;
    report->is_whole = true;
    report->frame_count = stack->count;
    report->are_frames_guessed = stack->is_guess;
    _Static_assert((int)CRASH_FRAMES <= (int)REPORT_FRAMES, "they fit");
    memcpy(report->frames, stack->frames, stack->count * sizeof stack->frames[0]);
    job->is_wanted = report_admits_crash(report);
}

/* Returns the state whose Python stack can be read: the attached one, or the one that this thread has given up to enter
 * native code. NULL: none. (2.7 has no dump, and its slot is behind a lock. If it is not known what the thread has, asking
 * for the slot might make the thread's copy of CPython's thread-locals.) */
static PyThreadState *state_to_dump(const struct crash *crash) {
    if (crash->gil == CURRENT_THREAD_UNKNOWN || crash->class == CRASH_DELETED || crash->class == CRASH_UNKNOWN ||
        !interp_is_initialized() || slot_goes_by_ident()) {
        return NULL;
    }
    return crash->gil == CURRENT_THREAD_HAS_GIL ? (PyThreadState *)crash->state : slot_get();
}

static void dump_python_stack(void *argument) {
    struct job *job = argument;
    PyThreadState *state = state_to_dump(&job->crash);
    python_dump *dump = state ? python_traceback_dump() : NULL;
    int ends[2];
    if (!dump || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return;
    }
    job->python_fd = ends[0];
    dump(ends[1], state);
    close(ends[1]);
}

static void read_python_stack(struct job *job) {
    size_t length = 0;
    ssize_t size = 1;
    while (job->python_fd >= 0 && size > 0 && length < sizeof job->python_stack - 1) {
        size = read(job->python_fd, job->python_stack + length, sizeof job->python_stack - 1 - length);
        length += size > 0 ? (size_t)size : 0;
    }
    job->python_stack[length] = '\0';
    if (job->python_fd >= 0) {
        close(job->python_fd);
    }
}

static void write_first(void *argument) {
    report_put_first(&((struct job *)argument)->report);
}

static void write_native_stack(void *argument) {
    report_put_native_stack(&((struct job *)argument)->report);
}

static void write_rest(void *argument) {
    struct job *job = argument;
    report_put_events(&job->report);
    report_put_advice(&job->report);
}

static void write_json(void *argument) {
    report_write_json(&((struct job *)argument)->report);
}

/* What can be said in any case. */
static void write_least(const struct job *job) {
    char buffer[200];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "crash: signal ");
    text_add_decimal(&text, (uint64_t)job->given.number);
    text_add(&text, " on tid ");
    text_add_decimal(&text, (uint64_t)syscall(SYS_gettid));
    text_add(&text, "; memory is so corrupt that no more can be said");
    log_line(text_end(&text)); /* a line of JSON where that is wanted */
}

static void write_text(struct job *job) {
    if (!try_step(write_first, job)) {
        write_least(job);
    }
    try_step(write_native_stack, job);
    bool is_whole = try_step(dump_python_stack, job);
    read_python_stack(job);
    if (job->python_stack[0]) {
        report_put_python_stack(job->python_stack, is_whole);
    }
    try_step(write_rest, job);
}

static void report_aside(void *argument) {
    struct job job = {.python_fd = -1, .is_wanted = false};
    job.given = *(const struct given *)argument;
    signal_stack_leave();
    loader_avoid_locks();
    unblock_faults();
    try_step(take_stack, &job);
    try_step(find_facts, &job);
    if (!try_step(fill_report, &job)) {
        write_least(&job);
    } else if (!job.is_wanted) {
        return;
    } else if (options.log_format == LOG_JSON) {
        try_step(dump_python_stack, &job);
        read_python_stack(&job);
        job.report.python_stack = job.python_stack;
        if (!try_step(write_json, &job)) {
            write_least(&job);
        }
    } else {
        write_text(&job);
    }
}

bool crash_is_to_tell(int number) {
    return crash_is_of(number) && process == getpid() && options.mode != MODE_OFF &&
           (number != SIGABRT || !report_end_was_told());
}

enum crash_verdict crash_tell(int number, const siginfo_t *info, const void *context, int *first) {
    *first = number;
    switch (find_role()) {
    case OTHER: wait_for_end(); return CRASH_TOLD;
    case REPORTER_AGAIN:
        if (steps.is_in_step) {
            steps.is_in_step = false;
            siglongjmp(steps.next, 1);
        }
        *first = steps.first;
        return CRASH_IN_CRASH;
    default: break;
    }
    struct given given = {number, info, context};
    steps.first = number;
    int saved_errno = errno;
    if (!aside_run(report_aside, &given)) {
        log_lose();
    }
    errno = saved_errno;
    return CRASH_TOLD;
}
