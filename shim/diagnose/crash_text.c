#include "diagnose/crash_facts.h"
#include "diagnose/report_detail.h"
#include "system/symbol.h"
#include "system/ticks.h"

static const char *name_of(int number) {
    switch (number) {
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGILL: return "SIGILL";
    case SIGFPE: return "SIGFPE";
    case SIGABRT: return "SIGABRT";
    case SIGSYS: return "SIGSYS";
    case SIGTRAP: return "SIGTRAP";
    case SIGQUIT: return "SIGQUIT";
    default: return "a signal";
    }
}

/* Returns what the kernel says of a fault, or NULL. */
static const char *reason_of(const struct crash *crash) {
    int code = crash->info.si_code;
    if (crash->is_overflow) {
        return "the thread's stack has run out";
    }
    switch (crash->info.si_signo) {
    case SIGSEGV:
        return code == SEGV_MAPERR ? "nothing is mapped there" : code == SEGV_ACCERR ? "not permitted there" : NULL;
    case SIGBUS: return code == BUS_ADRALN ? "not aligned" : code == BUS_ADRERR ? "beyond the end of a file" : NULL;
    case SIGFPE: return code == FPE_INTDIV ? "integer division by zero" : NULL;
    default: return NULL;
    }
}

static bool has_address(const struct crash *crash) {
    return crash->info.si_code > 0 && crash->info.si_code != SI_KERNEL;
}

/* "SIGSEGV at 0x10 (nothing is mapped there)" */
static void add_signal(struct text *text, const struct crash *crash) {
    if (crash->stack.has_origin && crash->info.si_signo != crash->number) {
        text_add(text, name_of(crash->number));
        text_add(text, " raised by the handler of ");
    }
    text_add(text, name_of(crash->info.si_signo));
    if (crash->info.si_code > 0) {
        text_add(text, has_address(crash) ? " at " : " at an address that the processor does not tell");
        if (has_address(crash)) {
            text_add_hex(text, (uintptr_t)crash->info.si_addr);
        }
        const char *reason = reason_of(crash);
        text_add(text, reason ? " (" : "");
        text_add(text, reason ? reason : "");
        text_add(text, reason ? ")" : "");
    } else if (crash->class == CRASH_SENT) {
        text_add(text, ", sent by pid ");
        text_add_decimal(text, (uint64_t)crash->info.si_pid);
        text_add(text, ": no fault of memory");
    } else {
        text_add(text, ", raised by the program itself (abort, raise or kill)");
    }
}

/* "in libpython3.12.so!PyList_New+0x12, called from libfoo.so!bar+0x34" */
static void add_place(struct text *text, const struct crash_stack *stack) {
    if (!stack->count) {
        return;
    }
    text_add(text, " in ");
    symbol_add(text, stack->frames[0]);
    if (stack->culprit && stack->culprit != stack->frames[0]) {
        text_add(text, ", called from ");
        symbol_add(text, stack->culprit);
        if (stack->is_in_cpython && stack->entry) {
            text_add(text, " (");
            text_add(text, stack->entry);
            text_add(text, ")");
        }
    }
}

static void add_event(struct text *text, const struct journal_event *event, uint64_t now) {
    text_add(text, journal_kind_name((enum journal_kind)event->kind));
    if (event->kind == JOURNAL_REPAIR || event->kind == JOURNAL_MISUSE) {
        text_add(text, " ");
        text_add(text, event->detail < REPORT_KINDS ? report_name((enum report_kind)event->detail) : "?");
    }
    if (event->call != JOURNAL_NO_CALL) {
        text_add(text, " by ");
        text_add(text, report_call_name(event->call));
    }
    if (event->caller) {
        text_add(text, " at ");
        symbol_add(text, event->caller);
    }
    text_add(text, " ");
    text_add_seconds(text, ticks_span_ns(ticks_between(event->time, now)), 6);
    text_add(text, event->is_later ? " s ago or less" : " s ago");
}

static void add_class(struct text *text, const struct crash *crash) {
    switch (crash->class) {
    case CRASH_SENT: text_add(text, "another process has ended this one"); break;
    case CRASH_FINALIZED:
        text_add(text, crash->ending);
        text_add(text, ": the C API was called all the same");
        break;
    case CRASH_DELETED:
        text_add(text, crash->is_attaching ? "the state that it was attaching" : "the attached state");
        if (!crash->deleted.time) {
            text_add(text, " is in no list of CPython's: it was deleted");
            break;
        }
        text_add(text, " is one that was deleted at ");
        symbol_add(text, crash->deleted.caller);
        text_add(text, " (");
        text_add(text, report_call_name(crash->deleted.call));
        text_add(text, " on tid ");
        text_add_decimal(text, (uint64_t)crash->deleter);
        text_add(text, ", ");
        text_add_seconds(text, ticks_span_ns(ticks_between(crash->deleted.time, crash->now)), 6);
        text_add(text, " s ago)");
        break;
    case CRASH_NO_STATE: text_add(text, "no state attached: the C API was called without the GIL"); break;
    case CRASH_OUTSIDE:
        text_add(text,
                 "no state attached, but it was not in CPython: a GIL error only if that code uses Python objects");
        break;
    case CRASH_WITH_GIL:
        text_add(text, crash->state ? "has the GIL, so it is not a GIL error of this thread"
                                    : "has the GIL, but no state is attached (PyThreadState_Swap(NULL))");
        break;
    case CRASH_UNKNOWN: text_add(text, "whether it has the GIL can't be told"); break;
    }
}

void crash_add_line(struct text *text, const struct crash *crash, pid_t tid, const char *thread_name) {
    const void *suspect = crash->stack.culprit ? crash->stack.culprit : crash->stack.place;
    if (crash->class != CRASH_SENT && (suspect || crash->stack.count)) {
        symbol_add_library(text, suspect ? suspect : crash->stack.frames[0]);
        text_add(text, ": ");
    }
    add_signal(text, crash);
    add_place(text, &crash->stack);
    text_add(text, " on tid ");
    report_add_thread(text, tid, thread_name);
    text_add(text, ": ");
    if (crash->class != CRASH_WITH_GIL && crash->gil != CURRENT_THREAD_UNKNOWN) {
        text_add(text, crash->gil == CURRENT_THREAD_HAS_GIL ? "has the GIL; " : "does not have the GIL; ");
    }
    add_class(text, crash);
    if (crash->has_event) {
        text_add(text, "; its last GIL event: ");
        add_event(text, &crash->event, crash->now);
    } else if (!crash->is_unwatched) {
        text_add(text, "; no GIL event of it was seen");
    }
}

void crash_add_json(struct json *json, const struct crash *crash) {
    static const char *const classes[] = {
        [CRASH_UNKNOWN] = "unknown",     [CRASH_SENT] = "sent",         [CRASH_FINALIZED] = "finalized",
        [CRASH_DELETED] = "deleted",     [CRASH_NO_STATE] = "no state", [CRASH_OUTSIDE] = "outside CPython",
        [CRASH_WITH_GIL] = "has the GIL"};
    char buffer[1500];
    json_string(json, "signal", name_of(crash->number));
    if (crash->info.si_signo != crash->number) {
        json_string(json, "fault", name_of(crash->info.si_signo));
    }
    if (has_address(crash) && !crash->info.si_addr) {
        json_string(json, "address", "0x0");
    } else {
        json_hex(json, "address", has_address(crash) ? (uintptr_t)crash->info.si_addr : 0);
    }
    if (crash->info.si_code <= 0) {
        json_number(json, "sender", (uint64_t)crash->info.si_pid);
    }
    if (crash->gil == CURRENT_THREAD_UNKNOWN) {
        json_string(json, "has_gil", NULL);
    } else {
        json_bool(json, "has_gil", crash->gil == CURRENT_THREAD_HAS_GIL);
    }
    json_bool(json, "stack_overflow", crash->is_overflow);
    json_string(json, "looks_like", classes[crash->class]);
    struct text text = text_start(buffer, sizeof buffer);
    if (crash->stack.count) {
        symbol_add(&text, crash->stack.frames[0]);
    }
    json_string(json, "place", crash->stack.count ? text_end(&text) : NULL);
}

const char *crash_advice(const struct crash *crash) {
    switch (crash->class) {
    case CRASH_SENT: return "ask who ran the other process: a supervisor, a time limit?";
    case CRASH_FINALIZED: return "join the threads that call Python before Py_Finalize (cpython #87135)";
    case CRASH_DELETED: return "delete a state where no thread can use it any more (pybind11 #2888)";
    case CRASH_NO_STATE:
    case CRASH_OUTSIDE:
        return "take the GIL before Python is touched (PyGILState_Ensure), also in destructors and call-backs; and do "
               "not "
               "touch it between Py_BEGIN_ALLOW_THREADS and Py_END_ALLOW_THREADS";
    case CRASH_WITH_GIL:
        return crash->is_overflow
                   ? "look for a recursion in the native stack, or give the thread a larger stack"
                   : "another thread without the GIL may have damaged memory before; else it is an ordinary "
                     "error of the library named above";
    default: return crash->is_unwatched ? "the stacks tell what it was doing" : report_advice(REPORT_crash);
    }
}
