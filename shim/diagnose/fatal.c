/* abort(3), exported under that name: reports which module led CPython into its fatal error. Always ends in the real
 * abort.
 *
 * It may be called in a signal handler and with any lock held, so nothing here allocates, loads or waits. Aborts by
 * glibc itself (a failed assert, a corrupt heap) do not come through this function. */
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "diagnose/fatal.h"
#include "diagnose/fatal_text.h"
#include "diagnose/frames.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/options.h"
#include "process/process_exit.h"
#include "system/aside.h"
#include "system/call_site.h"
#include "system/dlsym_hook.h"
#include "system/elf.h"
#include "system/thread.h"

static void (*real_abort)(void);

void fatal_start(void) {
    void *address = libc_real_dlsym(RTLD_NEXT, "abort");
    memcpy(&real_abort, &address, sizeof address);
}

enum place { OUTSIDE, CPYTHON, OURS, LIBC };

static enum place place_of(const void *address, struct elf_object *object) {
    struct elf_object cpython, ours, libc;
    if (!elf_find_by_address((const char *)address - 1, object)) {
        return OUTSIDE;
    }
    if (elf_find_by_address((const void *)real.Py_IsInitialized, &cpython) && elf_is_same(object, &cpython)) {
        return CPYTHON;
    }
    if (elf_find_by_address((const void *)fatal_start, &ours) && elf_is_same(object, &ours)) {
        return OURS;
    }
    return elf_find_by_address((const void *)real_abort, &libc) && elf_is_same(object, &libc) ? LIBC : OUTSIDE;
}

static bool is_one_of(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; name && i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(name, names) is_one_of(name, names, sizeof(names) / sizeof *(names))

/* Returns the name of the function that was called where `address` is the return address, from the call instruction and
 * what it leads to, because compilers may put the end of a function far from its name. Returns NULL if it cannot be told. */
static const char *called_at(const void *address) {
    const void *callee = (const void *)call_site_callee((uintptr_t)address);
    for (size_t i = 0; callee && i < REAL_API_COUNT; i++) {
        if (real_wrappers[i] == callee) {
            return real_api_names[i];
        }
    }
    struct elf_object object;
    size_t offset = 1;
    const char *name =
        callee && elf_find_by_address(callee, &object) ? elf_function_at(&object, callee, &offset) : NULL;
    return offset == 0 ? name : NULL;
}

/* How the stack leads from the program into the end of CPython. */
struct course {
    bool is_fatal;       /* through Py_FatalError or a related function */
    bool is_terminate;   /* through std::terminate */
    bool has_entry;      /* there is a frame of CPython */
    const void *culprit; /* the innermost frame outside CPython and libc; NULL: none */
    const char *entry;   /* the function of CPython that `culprit` called; NULL: not known */
};

/* In a guessed stack, return addresses left by earlier calls stand between the real ones, often in the same function.
 * The real one made the call to the function of the frame inside it. */
enum { GUESSES = 4 };

static void follow(void *const *frames, size_t count, bool is_guess, struct course *course) {
    const char *inside = NULL; /* the last frame of CPython that was found */
    unsigned guesses = is_guess ? GUESSES : 0;
    static const char *const fatal[] = {"Py_FatalError", "_Py_FatalErrorFunc", "_Py_FatalErrorFormat",
                                        "_Py_FatalError_TstateNULL", "_Py_FatalRefcountErrorFunc"};
    static const char *const terminate[] = {"_ZSt9terminatev", "_ZN10__cxxabiv111__terminateEPFvvE"};
    for (size_t i = 0; i < count && (!course->culprit || guesses); i++) {
        struct elf_object object;
        size_t offset;
        enum place place = place_of(frames[i], &object);
        if (place == LIBC || (place == OUTSIDE && !object.segments)) {
            continue;
        }
        const char *name = elf_function_at(&object, (const char *)frames[i] - 1, &offset);
        if (course->culprit) {
            const char *called = place == OUTSIDE ? called_at(frames[i]) : NULL;
            guesses--;
            if (called && strcmp(called, inside) == 0) {
                course->culprit = frames[i];
                course->entry = called;
                break;
            }
        } else if (place == CPYTHON) {
            course->is_fatal = course->is_fatal || IS_ONE_OF(name, fatal);
            course->entry = inside = name;
            course->has_entry = true;
        } else if (place == OUTSIDE && IS_ONE_OF(name, terminate)) {
            course->is_terminate = true;
        } else if (place == OUTSIDE && course->has_entry) {
            const char *called = called_at(frames[i]);
            course->culprit = frames[i];
            course->entry = called ? called : course->entry;
            guesses = called && inside && strcmp(called, inside) != 0 ? guesses : 0;
        }
    }
    /* 3.13 exports fewer functions of Py_FatalError's family. */
    course->is_fatal =
        course->is_fatal || (course->culprit && is_one_of(course->entry, real_api_names, REAL_API_COUNT));
    static const char *const mains[] = {"Py_Main", "Py_BytesMain", "Py_RunMain"};
    /* The interpreter's own program is no culprit. Nor, unless more is asked for, is a module that calls Py_FatalError
     * on purpose. */
    bool is_asked = journal_is_on || options.verbosity >= 1 || options.crash;
    if (IS_ONE_OF(course->entry, mains) || (IS_ONE_OF(course->entry, fatal) && !is_asked)) {
        course->culprit = NULL;
    }
}

/* `frame`: the frame address of abort. */
static void tell_end(void *frame) {
    void *frames[40];
    bool is_guess;
    struct course course = {.is_fatal = false};
    size_t count = frames_here(frames, sizeof frames / sizeof frames[0], frame, &is_guess);
    follow(frames, count, is_guess, &course);
    bool is_asked = journal_is_on || options.verbosity >= 1 || options.crash;
    if (course.is_fatal && (course.culprit || is_asked)) {
        char said[500];
        struct text text = text_start(said, sizeof said);
        fatal_text_add(&text, frames, count, course.culprit, frame);
        report_end_is_told();
        report_fatal(REPORT_fatal, course.culprit, course.entry, text_end(&text));
    } else if (course.is_terminate && (is_asked || course.has_entry || interp_is_finalizing())) {
        report_end_is_told();
        report_fatal(REPORT_terminate, course.culprit, course.entry, "");
    }
}

_Noreturn __attribute__((visibility("default"))) void abort(void) {
    static bool is_ending;
    if (real_is_served() && options.mode != MODE_OFF && !__atomic_exchange_n(&is_ending, true, __ATOMIC_RELAXED)) {
        report_call = (struct report_call){NULL, JOURNAL_NO_CALL, __builtin_frame_address(0)};
        aside_run(tell_end, __builtin_frame_address(0)); /* the stack may have run out */
        process_exit_now();
    }
    if (real_abort) {
        real_abort();
    }
    for (;;) {
        raise(SIGABRT);
        _exit(127);
    }
}
