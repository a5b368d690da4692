#include "diagnose/stall_report.h"

#include <string.h>

#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/pystack.h"
#include "cpython/real.h"
#include "diagnose/report.h"
#include "diagnose/stall_across.h"
#include "diagnose/stall_headline.h"
#include "diagnose/stall_json.h"
#include "diagnose/stall_words.h"
#include "process/options.h"
#include "system/symbol.h"
#include "system/ticks.h"

static void tell_stack(const struct stack *stack, const char *whose) {
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "    native stack of ");
    text_add(&text, whose);
    if (stack->source == STACK_GUESSED) {
        text_add(&text, ", partly guessed (");
        text_add(&text, stack->reason);
        text_add(&text, ")");
    } else if (stack->source == STACK_NONE) {
        text_add(&text, ": not available: ");
        text_add(&text, stack->reason ? stack->reason : "?");
    }
    report_line(text_end(&text));
    for (size_t i = 0; i < stack->count; i++) {
        text = text_start(buffer, sizeof buffer);
        text_add(&text, "      #");
        text_add_decimal(&text, i);
        text_add(&text, " ");
        symbol_add(&text, stack->frames[i]);
        report_line(text_end(&text));
    }
}

static void tell_waiter(const struct picture *picture, size_t index, uint64_t now) {
    const struct waiter *waiter = &picture->waiters[index];
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "  waits: ");
    stall_add_waiter(&text, waiter);
    if (!waiter->is_timeless) {
        text_add(&text, waiter->is_unseen || waiter->is_older ? ", for at least " : " for ");
        stall_add_seconds(&text, now - waiter->since);
    }
    if (waiter->gil != GIL_NOT_TOLD) {
        text_add(&text, ", for ");
        stall_add_awaited(&text, waiter);
    }
    text_add(&text, " ");
    stall_add_waiting_call(&text, picture, index);
    if (waiter->state && !(waiter->gil == GIL_PAUSE && waiter->is_unseen)) { /* it has its state attached */
        text_add(&text, ", to attach state ");
        text_add_hex(&text, (uintptr_t)waiter->state);
    }
    report_line(text_end(&text));
    if (index < PICTURE_WAITERS && picture->has_waiting_look[index] && (index == 0 || (int)index == picture->partner)) {
        tell_stack(&picture->waiting[index].stack, "the waiting thread");
    }
}

/* "blocked in futex: a mutex at 0x.. that thread 12 has" */
static void add_block(struct text *text, const struct party *party) {
    const struct thread_look *look = &party->look;
    if (party->wait == THREAD_UNKNOWN) {
        text_add(text, "the kernel hides what it does: the program has changed its user, or /proc is not there");
        return;
    }
    if (party->wait == THREAD_RUNS) {
        text_add(text, look->state == 'R' ? "it is running" : "it is not in a system call");
        return;
    }
    text_add(text, "it is in ");
    thread_add_call(text, look->call);
    if (party->wait == THREAD_WAITS_MUTEX) {
        text_add(text, ": a mutex at ");
        text_add_hex(text, look->arguments[0]);
        text_add(text, " that thread ");
        text_add_decimal(text, (uint64_t)party->awaited);
        text_add(text, " has");
    } else if (party->wait == THREAD_WAITS_THREAD) {
        text_add(text, ": pthread_join of thread ");
        text_add_decimal(text, (uint64_t)party->awaited);
    } else if (thread_is_in_futex(look)) {
        text_add(text, " at ");
        text_add_hex(text, look->arguments[0]);
        text_add(text, ": a condition variable, semaphore or other lock, whose owner can't be told");
    }
}

/* What the thread is called in the lines after the first. */
static const char *holder_is_called(const struct picture *picture) {
    return picture->gil == GIL_PAUSE ? "the attached thread" : "the holder";
}

static void tell_holder(const struct picture *picture, uint64_t now) {
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, picture->gil != GIL_PAUSE ? "  holds: " : picture->has_begun ? "  paused by: " : "  attached: ");
    stall_add_holder(&text, picture);
    if (picture->gil >= 0) {
        text_add(&text, ", ");
        stall_add_gil(&text, picture->gil);
    }
    if (picture->holder.state) {
        text_add(&text, ", state ");
        text_add_hex(&text, (uintptr_t)picture->holder.state);
    } else {
        text_add(&text, ", no thread state");
    }
    const struct journal_now *record = &picture->record.now;
    if (picture->has_record && record->state == picture->holder.state && record->phase != JOURNAL_OUTSIDE) {
        uint64_t since = ticks_to_ns(record->since);
        text_add(&text, record->phase != JOURNAL_HOLDS ? ", it is in "
                        : picture->holder.state        ? ", attached by "
                                                       : ", taken off by ");
        text_add(&text, stall_call_name(record->call));
        if (record->caller) {
            text_add(&text, " from ");
            symbol_add(&text, record->caller);
        }
        text_add(&text, " ");
        stall_add_seconds(&text, now > since ? now - since : 0);
        text_add(&text, " ago");
    } else {
        text_add(&text, ", attached by the interpreter, time unknown");
    }
    report_line(text_end(&text));
    if (!picture->has_holder_look) {
        return;
    }
    text = text_start(buffer, sizeof buffer);
    text_add(&text, "    ");
    add_block(&text, &picture->holding);
    report_line(text_end(&text));
    tell_stack(&picture->holding.stack, holder_is_called(picture));
}

/* Reports each line of CPython's dump as a line of ours. */
static void tell_python_stack(PyThreadState *state, const char *whose) {
    static char dump[8192];
    char buffer[1600];
    struct text text = text_start(buffer, sizeof buffer);
    const char *reason = pystack_take(state, dump, sizeof dump);
    text_add(&text, "    Python stack of ");
    text_add(&text, whose);
    if (reason) {
        text_add(&text, ": not available: ");
        text_add(&text, reason);
    }
    report_line(text_end(&text));
    const char *line = dump;
    unsigned told = 0;
    while (*line && told < 60) {
        size_t length = strcspn(line, "\n");
        if (length && strncmp(line, "Stack (", 7) != 0) {
            text = text_start(buffer, sizeof buffer);
            text_add(&text, "    ");
            text_add_span(&text, line, length);
            report_line(text_end(&text));
            told++;
        }
        line += length + (line[length] != '\0');
    }
}

static const char *advice_for_itself(void) {
    switch (options.mode) {
    case MODE_OBSERVE:
    case MODE_STRICT:
        return "two GIL APIs are mixed on one thread (pybind11 issue 1276): this mode repairs nothing, mode=repair "
               "does";
    case MODE_OFF:
        return "two GIL APIs are mixed on one thread (pybind11 issue 1276): run-with-shim.sh repairs it, if it starts "
               "the "
               "program";
    default:
        return "two GIL APIs are mixed on one thread (pybind11 issue 1276): the repair is switched off, or could not "
               "see "
               "it";
    }
}

static const char *advice_for(const struct picture *picture) {
    if (picture->holder.kind == HOLDER_THREAD && !picture->holder.state) {
        return "PyThreadState_Swap(NULL) takes the state off and keeps the GIL, up to Python 3.11: PyEval_SaveThread "
               "gives it "
               "as well (freeswitch issue 2732)";
    }
    if (picture->gil == GIL_PAUSE) {
        return picture->has_holder_look && picture->holding.look.call >= 0 && !picture->has_begun
                   ? "the garbage collector and others pause all threads, and wait for each one that is attached: it "
                     "should "
                     "detach "
                     "its state (Py_BEGIN_ALLOW_THREADS) around each call that may block"
                   : NULL;
    }
    switch (picture->kind) {
    case PICTURE_SELF: return advice_for_itself();
    case PICTURE_LOCK_ORDER:
        return "the GIL and the mutex are taken in both orders: release the GIL (Py_BEGIN_ALLOW_THREADS) before "
               "locking "
               "the mutex, or let go of the mutex before calling Python (grpc pull request 26009, ceph pull request "
               "38677)";
    case PICTURE_GUARD:
        return "a C++ static whose initialization takes the GIL must not be reached with the GIL held: release the GIL "
               "first (swig issue 1275), or initialize it earlier";
    case PICTURE_ONCE:
        return "what runs under call_once takes the GIL: release the GIL before call_once (grpc issue 34672)";
    case PICTURE_INSIDE:
        return "a lock inside the library and the GIL are taken in both orders: release the GIL "
               "(Py_BEGIN_ALLOW_THREADS) "
               "before calling the library, or do not call Python from inside of it (h5py issue 2128, PyO3 issue 973)";
    case PICTURE_JOIN: return "release the GIL (Py_BEGIN_ALLOW_THREADS) around the join";
    case PICTURE_ACROSS:
        return "a thread that has one interpreter's GIL must not wait for another's, nor for a thread that does: "
               "release the "
               "GIL (Py_BEGIN_ALLOW_THREADS) first; PyThreadState_Swap goes from one to the other";
    case PICTURE_PLAIN:
        return picture->has_holder_look && picture->holding.look.call >= 0
                   ? "the holder sleeps with the GIL held: it should release it (Py_BEGIN_ALLOW_THREADS) around the "
                     "call; a "
                     "program that initializes Python and never lets go does the same (pybind11 issue 1273)"
                   : NULL;
    }
    return NULL;
}

void stall_report_holder(const struct picture *picture, uint64_t now) {
    if (picture->holder.kind == HOLDER_THREAD) {
        tell_holder(picture, now);
    }
    if (picture->holder.state) {
        tell_python_stack(picture->holder.state, holder_is_called(picture));
    }
}

void stall_report(const struct picture *picture, uint64_t now, bool is_repeated) {
    enum { TOLD_WAITERS = 5 };
    char buffer[3400];
    if (options.log_format == LOG_JSON) {
        stall_json(picture, now, is_repeated);
        return;
    }
    struct text text = text_start(buffer, sizeof buffer);
    stall_add_headline(&text, picture, now);
    if (is_repeated) {
        text_add(&text, "; nothing has moved for ");
        stall_add_seconds(&text, now - picture->waiters[0].since);
        report_line(text_end(&text));
        return;
    }
    report_line(text_end(&text));
    for (size_t i = 0; i < picture->waiter_count; i++) {
        if (i < TOLD_WAITERS || (int)i == picture->partner) {
            tell_waiter(picture, i, now);
        }
    }
    if (picture->total > TOLD_WAITERS) {
        text = text_start(buffer, sizeof buffer);
        text_add(&text, "  waits: ");
        text_add_decimal(&text, picture->total);
        text_add(&text, " threads in all");
        report_line(text_end(&text));
    }
    stall_report_holder(picture, now);
    stall_tell_across(picture);
    const void *waiters_state = picture->partner >= 0 ? picture->waiters[picture->partner].state : NULL;
    if (waiters_state && waiters_state != picture->holder.state) {
        tell_python_stack((PyThreadState *)waiters_state, "the waiting thread");
    }
    const char *advice = advice_for(picture);
    if (advice) {
        text = text_start(buffer, sizeof buffer);
        text_add(&text, "  advice: ");
        text_add(&text, advice);
        report_line(text_end(&text));
    }
}

void stall_report_end(const struct waiter *waiter, uint64_t lasted) {
    char buffer[300];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "stall: over after ");
    stall_add_seconds(&text, lasted);
    text_add(&text, ": ");
    stall_add_waiter(&text, waiter);
    text_add(&text, " waits no longer");
    report_line(text_end(&text));
}
