/* gilshim-inspect PID: says who holds the GIL of a process and who waits for it, as the stall watch does, from outside.
 * run-with-shim.sh --pid starts it. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect/explain.h"
#include "inspect/journal.h"
#include "inspect/limited.h"
#include "inspect/live.h"
#include "inspect/objects.h"
#include "inspect/output.h"
#include "inspect/watch.h"
#include "process/options.h"
#include "system/text.h"
#include "system/ticks.h"
#include "version.h"

enum {
    STATUS_EXPLAINED = 0,
    STATUS_NOTHING = 1, /* nothing to explain was found */
    STATUS_USAGE = 2,
    STATUS_FAILED = 125, /* the process could not be looked at */
    LIMIT_S = 10,        /* to be done in, after the time that is watched */
    WATCH_MAX_S = 3600,
    AGAIN_S = 3, /* ... and for so long it may be watched anew */
};

#define PREFIX "gilshim-inspect: "

static const char usage[] = "Usage: gilshim-inspect [-j] [-s SECONDS] PID\n"
                            "\n"
                            "Says which threads of the process wait for Python's GIL, which one holds it, what it\n"
                            "sleeps in, and whether that is a deadlock. The process is read from outside: it is not\n"
                            "stopped, and nothing in it changes.\n"
                            "\n"
                            "  -j          JSON, one object a line\n"
                            "  -s SECONDS  watch for this long (default 0.3)\n"
                            "  -h, --help\n"
                            "  --version\n"
                            "\n"
                            "Exit status 0: a stall was explained; 1: there is none; 2: wrong usage; 125: the process\n"
                            "could not be looked at.\n";

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static int wrong_usage(const char *words, const char *argument) {
    fprintf(stderr, PREFIX "%s%s; see gilshim-inspect -h\n", words, argument);
    return STATUS_USAGE;
}

static bool read_seconds(const char *word, double *seconds) {
    char *end;
    *seconds = strtod(word, &end);
    return end != word && !*end && *seconds > 0 && *seconds <= WATCH_MAX_S && word[strspn(word, "0123456789.")] == '\0';
}

static bool read_pid(const char *word, pid_t *pid) {
    char *end;
    errno = 0;
    long number = strtol(word, &end, 10);
    *pid = (pid_t)number;
    return *word >= '0' && *word <= '9' && !*end && !errno && number > 0 && number <= INT_MAX;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* A reason may name files of the target's: they must not do anything to a terminal. */
static int fail(char *reason) {
    text_disarm(reason, strlen(reason));
    fprintf(stderr, PREFIX "%s\n", reason);
    return STATUS_FAILED;
}

/* Names that are this program's own in the shared files are the target's: what its main program is called. */
static void take_program_name(void) {
    static char name[NAME_MAX + 1];
    const struct target_object *libc = objects_named("libc.so.6"), *executable = objects_executable();
    uintptr_t place, string;
    if (!libc || !target_symbol(libc, "program_invocation_short_name", &place, NULL) ||
        !target_read(place, &string, sizeof string) || !target_read_string(string, name, sizeof name) || !name[0]) {
        const char *slash = executable ? strrchr(executable->path, '/') : NULL;
        snprintf(name, sizeof name, "%s", slash ? slash + 1 : "?");
    }
    program_invocation_short_name = name;
}

/* Once more if libraries came or went meanwhile: then their names are not known. A process that hangs opens none. */
static size_t watch(double seconds, struct watched_python **pythons) {
    uint64_t begun = ticks_monotonic();
    size_t count = 0;
    bool is_first = true;
    while (is_first || (ticks_monotonic() - begun < AGAIN_S * 1000000000ull && objects_have_changed())) {
        is_first = false;
        objects_find();
        take_program_name();
        count = watch_start(pythons);
        if (count) {
            watch_run((uint64_t)(seconds * 1e9));
        }
    }
    return count;
}

/* musl's waiters sleep on a word of their own stack: nothing tells what they wait for. The library does not serve it, either. */
static bool uses_musl(void) {
    const struct target_object *all;
    size_t count = target_objects(&all);
    for (size_t i = 0; i < count; i++) {
        const char *slash = strrchr(all[i].path, '/');
        if (slash && strncmp(slash, "/ld-musl-", strlen("/ld-musl-")) == 0) {
            return true;
        }
    }
    return false;
}

struct order {
    pid_t pid;
    double seconds;
};

static int inspect(void *argument) {
    static char reason[512];
    const struct order *order = argument;
    pid_t pid = order->pid;
    double seconds = order->seconds;
    struct watched_python *pythons;
    if (!live_open(pid, reason, sizeof reason)) {
        return fail(reason);
    }
    size_t count = watch(seconds, &pythons);
    if (live_has_ended(reason, sizeof reason)) {
        return fail(reason);
    }
    if (!count) {
        const struct target_object *executable = objects_executable();
        snprintf(reason, sizeof reason, "process %d: there is no CPython in it (%s)", (int)pid,
                 executable ? executable->path : "its executable is not known");
        return fail(reason);
    }
    if (uses_musl()) {
        snprintf(reason, sizeof reason, "process %d uses musl; this is for processes with glibc", (int)pid);
        return fail(reason);
    }
    bool is_all_hidden;
    if (watch_hidden(&is_all_hidden) && is_all_hidden) {
        snprintf(reason, sizeof reason,
                 "process %d: the kernel hides what its threads wait for (/proc/%d/task/*/syscall)", (int)pid,
                 (int)pid);
        return fail(reason);
    }
    journal_take();
    bool is_explained = explain(pythons, count);
    if (output_failure()) {
        snprintf(reason, sizeof reason, "can't write: %s", strerror(output_failure()));
        return fail(reason);
    }
    return is_explained ? STATUS_EXPLAINED : STATUS_NOTHING;
}

int main(int argc, char **argv) {
    double seconds = 0.3;
    pid_t pid = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(word, "--version") == 0) {
            puts("gilshim-inspect (gilshim) " GILSHIM_VERSION);
            return 0;
        }
        if (strcmp(word, "-j") == 0) {
            options.log_format = LOG_JSON;
        } else if (strcmp(word, "-s") == 0) {
            if (!argv[i + 1] || !read_seconds(argv[++i], &seconds)) {
                return wrong_usage("-s needs a number of seconds, e.g. 5 or 0.5", "");
            }
        } else if (pid || !read_pid(word, &pid)) {
            return wrong_usage(pid ? "one process at a time: " : "no number of a process: ", word);
        }
    }
    if (!pid) {
        return wrong_usage("no process given", "");
    }
    ticks_start();
    struct order order = {pid, seconds};
    uint64_t limit = (uint64_t)((seconds + LIMIT_S) * 1e9);
    return limited_run(limit, inspect, &order, STATUS_FAILED);
}
