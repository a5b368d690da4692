#include "start/check.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wchar.h>

#include "cpython/bound.h"
#include "cpython/counter.h"
#include "cpython/head_lock.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/report.h"
#include "hooks/hooks.h"
#include "process/options.h"
#include "system/elf.h"
#include "system/json.h"
#include "system/text.h"
#include "version.h"

/* What was built, from which commit, by what. `run-with-shim.sh --version` looks for this text in the library's file. */
#define TEXT_OF(macro) TEXT(macro)
#define TEXT(value) #value
#define NUMBER(major, minor) TEXT_OF(major) "." TEXT_OF(minor)
#ifdef __clang__
#define COMPILER "clang " NUMBER(__clang_major__, __clang_minor__)
#else
#define COMPILER "gcc " NUMBER(__GNUC__, __GNUC_MINOR__)
#endif
#ifdef __x86_64__
#define PROCESSOR "x86-64"
#else
#define PROCESSOR "AArch64"
#endif
#ifndef GILSHIM_BUILT_FROM
#define GILSHIM_BUILT_FROM "" /* for tools that read this file without the Makefile's flags */
#endif
static const char version_line[] = "version " GILSHIM_VERSION " (" GILSHIM_BUILT_FROM PROCESSOR ", " COMPILER
                                   ", glibc " NUMBER(__GLIBC__, __GLIBC_MINOR__) ")";

/* ---- as text ----------------------------------------------------------------------------------------------------- */

static struct text line_start(char *buffer, size_t size) {
    struct text text = text_start(buffer, size);
    text_add(&text, "gilshim: ");
    return text;
}

static void print(struct text *text) {
    text_end(text);
    text->buffer[text->length] = '\n'; /* in place of the 0 byte */
    if (write(STDOUT_FILENO, text->buffer, text->length + 1) < 0) {
        _exit(1);
    }
}

static void print_interpreter(void) {
    char buffer[800];
    struct text text = line_start(buffer, sizeof buffer);
    text_add(&text, "interpreter: ");
    interp_describe(&text);
    print(&text);
}

static void print_gil(void) {
    char buffer[200];
    struct text text = line_start(buffer, sizeof buffer);
    text_add(&text, "GIL: off, unless PYTHON_GIL=1 or a module that needs it turns it on");
    if (interp_is_free_threaded) {
        print(&text);
    }
}

static void print_functions(void) {
    char buffer[300];
    struct text text = line_start(buffer, sizeof buffer);
    text_add(&text, "functions: ");
    text_add_decimal(&text, real_status.bound);
    text_add(&text, real_status.binding == REAL_STATIC ? " intercepted by export redirection, "
                                                       : " intercepted by preload order and export redirection, ");
    text_add_decimal(&text, real_status.missing);
    text_add(&text, " not in this version");
    if (real_status.given_back) {
        text_add(&text, ", ");
        text_add_decimal(&text, real_status.given_back);
        text_add(&text, " calls inside CPython left direct");
    }
    print(&text);
}

static bool is_needed(enum repair repair) {
    return repair == REPAIR_fork ? head_lock_is_needed()
                                 : !interp_slot_follows || (repair != REPAIR_duplicate && repair != REPAIR_subinterp);
}

/* Returns why the repair is not available with what the probes found, or NULL if it is. */
static const char *why_not(enum repair repair) {
    bool writes_slot =
        repair == REPAIR_moved || (!interp_slot_follows && (repair == REPAIR_duplicate || repair == REPAIR_subinterp));
    if (!options_repairs(repair)) {
        return "switched off";
    }
    if (repair == REPAIR_moved && interp_slot_follows && interp_is_debug && !bound_is_known()) {
        return "the place of bound_gilstate was not found, and this debug build would assert without it";
    }
    if (repair == REPAIR_fork && is_needed(repair) && !head_lock_is_known()) {
        return "the place of this CPython's lock on its thread states is not known";
    }
    return writes_slot && !slot_is_known() ? "the place of this CPython's gilstate slot was not found" : NULL;
}

/* Returns what is to be said of a repair that is available, or NULL. */
static const char *note(enum repair repair) {
    if (!is_needed(repair)) {
        return "not needed: this Python handles it";
    }
    if (repair == REPAIR_moved && interp_is_free_threaded) {
        return "with the GIL off CPython itself is not safe where a thread uses a state that another one made";
    }
    return repair == REPAIR_held && !counter_is_known()
               ? "without gilstate_counter's place: the end of a block is guessed"
               : NULL;
}

static void print_repairs(void) {
    for (unsigned repair = 0; repair < REPAIR_COUNT; repair++) {
        char buffer[300];
        struct text text = line_start(buffer, sizeof buffer);
        const char *reason = why_not((enum repair)repair);
        text_add(&text, "repair ");
        text_add(&text, options_repair_name((enum repair)repair));
        text_add(&text, reason ? ": not available: " : ": available");
        text_add(&text, reason ? reason : "");
        if (!reason && note((enum repair)repair)) {
            text_add(&text, " (");
            text_add(&text, note((enum repair)repair));
            text_add(&text, ")");
        }
        print(&text);
    }
}

/* ---- as JSON ----------------------------------------------------------------------------------------------------- */

static char object[16384];

static const char *refusal(void) {
    return real_status.refusal ? real_status.refusal : real_is_ambiguous ? "it has two libpythons" : NULL;
}

/* One object, in one line and one write(2): an interpreter that is started may print something of its own. Its first members
 * are known to run-with-shim.sh, which puts its own in front. shim/doc/options.md explains the names. */
static void print_object(bool has_repairs) {
    struct json json = json_start(object, sizeof object);
    json_string(&json, "type", "check");
    json_string(&json, "reason", refusal());
    json_string(&json, "version", GILSHIM_VERSION);
    json_string(&json, "build", version_line + strlen("version "));
    json_string(&json, "python", real_is_bound() ? interp_version_text() : NULL);
    if (real_is_bound()) {
        json_string(&json, "path", real_status.path);
        json_string(&json, "binding", interp_binding());
        json_bool(&json, "debug", interp_is_debug);
        json_bool(&json, "free_threaded", interp_is_free_threaded);
    }
    if (real_is_bound() && !refusal() && json_open(&json, "functions", '{')) {
        json_number(&json, "intercepted", real_status.bound);
        json_number(&json, "missing", real_status.missing);
        json_number(&json, "direct", real_status.given_back);
        json_close(&json, '}');
    }
    if (has_repairs && json_open(&json, "repairs", '[')) {
        for (unsigned i = 0; i < REPAIR_COUNT && json_open(&json, NULL, '{'); i++) {
            enum repair repair = (enum repair)i;
            json_string(&json, "name", options_repair_name(repair));
            json_bool(&json, "available", !why_not(repair));
            json_bool(&json, "needed", is_needed(repair));
            json_string(&json, "note", why_not(repair) ? why_not(repair) : note(repair));
            json_close(&json, '}');
        }
        json_close(&json, ']');
    }
    struct text text = json_end(&json);
    print(&text);
}

/* ---- the probes -------------------------------------------------------------------------------------------------- */

static void name_program(void) {
    static char path[4096];
    static wchar_t wide[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (!real.Py_SetProgramName || length <= 0) {
        return;
    }
    for (ssize_t i = 0; i <= length; i++) {
        wide[i] = (unsigned char)path[i];
    }
    real.Py_SetProgramName(slot_goes_by_ident() ? (const void *)path : (const void *)wide);
}

/* A program's own constructors run after those of the libraries, so after us, and a CPython in the program may need them: in
 * free-threaded builds they set up its allocator, and debug builds assert that. */
static void run_constructors_of_program(void) {
    typedef void (*constructor)(int, char **, char **);
    char *arguments[] = {program_invocation_name, NULL};
    struct elf_object program;
    uintptr_t init = 0, array = 0;
    size_t count = 0;
    if (real_status.binding != REAL_STATIC || !elf_find_by_address((const void *)real.Py_IsInitialized, &program)) {
        return;
    }
    for (size_t i = 0; i < program.dynamic_count; i++) {
        const ElfW(Dyn) *entry = &program.dynamic[i];
        /* ld.so adds the bias to neither of them in place. */
        init = entry->d_tag == DT_INIT ? program.bias + entry->d_un.d_ptr : init;
        array = entry->d_tag == DT_INIT_ARRAY ? program.bias + entry->d_un.d_ptr : array;
        count = entry->d_tag == DT_INIT_ARRAYSZ ? entry->d_un.d_val / sizeof(constructor) : count;
    }
    if (init) {
        ((constructor)init)(1, arguments, environ);
    }
    for (size_t i = 0; array && i < count; i++) {
        ((const constructor *)array)[i](1, arguments, environ);
    }
}

/* Runs in a child process, since an interpreter that cannot find its library ends the process (up to 3.7 in any
 * case). */
static void probe_and_print(void) {
    run_constructors_of_program();
    name_program();
    if (real.Py_NoSiteFlag) {
        *real.Py_NoSiteFlag = 1;
    }
    if (real.Py_IgnoreEnvironmentFlag) {
        *real.Py_IgnoreEnvironmentFlag = 1;
    }
    gilshim_Py_InitializeEx(0);
    if (!interp_is_initialized()) {
        _exit(1);
    }
    if (options.log_format == LOG_JSON) {
        print_object(true);
    } else {
        print_repairs();
    }
    _exit(0);
}

/* Returns false if no interpreter could be started. */
static bool probe_in_child(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        probe_and_print();
    }
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static void print_line(const char *line) {
    char buffer[300];
    struct text text = line_start(buffer, sizeof buffer);
    text_add(&text, line);
    print(&text);
}

_Noreturn void check_and_exit(void) {
    char buffer[300];
    if (options.help) {
        options_help(print_line);
        _exit(0);
    }
    if (options.log_format == LOG_JSON) {
        bool is_served = real_is_bound() && !refusal();
        if (!is_served || !probe_in_child()) {
            print_object(false);
        }
        _exit(!is_served);
    }
    struct text text = line_start(buffer, sizeof buffer);
    text_add(&text, version_line);
    print(&text);
    if (!real_is_bound()) {
        text = line_start(buffer, sizeof buffer);
        text_add(&text, "interpreter: none at start");
        print(&text);
        _exit(1);
    }
    print_interpreter();
    if (refusal()) {
        text = line_start(buffer, sizeof buffer);
        text_add(&text, "can't be served: ");
        text_add(&text, refusal());
        print(&text);
        _exit(1);
    }
    print_gil();
    print_functions();
    if (!probe_in_child()) {
        text = line_start(buffer, sizeof buffer);
        text_add(&text, "repairs: can't be told: no interpreter could be started here to try the probes on");
        print(&text);
    }
    _exit(0);
}
