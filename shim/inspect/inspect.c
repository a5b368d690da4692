/* gilshim-inspect PID, or --core CORE: says who holds the GIL of a process and who waits for it, as the stall watch does, from
 * outside, or of what it has died. run-with-shim.sh --pid and --core start it. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "inspect/explain.h"
#include "inspect/journal.h"
#include "inspect/live.h"
#include "inspect/objects.h"
#include "inspect/output.h"
#include "inspect/post_mortem.h"
#include "inspect/watch.h"
#include "process/options.h"
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
                            "       gilshim-inspect [-j] [--root DIR] --core CORE [EXE]\n"
                            "\n"
                            "Says which threads of the process wait for Python's GIL, which one holds it, what it\n"
                            "sleeps in, and whether that is a deadlock. The process is read from outside: it is not\n"
                            "stopped, and nothing in it changes. With --core, the same of a core file; of a crash,\n"
                            "whether the thread had the GIL.\n"
                            "\n"
                            "  -j          JSON, one object a line\n"
                            "  -s SECONDS  watch for this long (default 0.3)\n"
                            "  --core CORE [EXE]\n"
                            "              explain a core file; EXE: the program, if it is not where it was\n"
                            "  --root DIR  look for the program and its libraries below DIR\n"
                            "  -h, --help\n"
                            "  --version\n"
                            "\n"
                            "Exit status 0: a stall or a crash was explained; 1: there is none; 2: wrong usage;\n"
                            "125: the process or core file could not be looked at.\n";

/* ---- a limit on everything --------------------------------------------------------------------------------------- */

static void say(const char *words) {
    ssize_t unused = write(STDERR_FILENO, words, strlen(words));
    (void)unused;
}

static void out_of_time(int number) {
    (void)number;
    say(PREFIX "gave up: it takes too long to read this\n");
    _exit(STATUS_FAILED);
}

/* A file that is mapped here was cut, or the target has what no program should have. */
static void cannot_go_on(int number) {
    (void)number;
    say(PREFIX "gave up: what was read can't be understood (or a file of it was just changed)\n");
    _exit(STATUS_FAILED);
}

static void set_limits(double watched) {
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_flags = SA_ONSTACK};
    struct itimerval limit = {.it_value = {(time_t)watched + LIMIT_S, 0}};
    sigaltstack(&other, NULL);
    sigemptyset(&action.sa_mask);
    action.sa_handler = out_of_time;
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = cannot_go_on;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    setitimer(ITIMER_REAL, &limit, NULL);
}

struct arguments {
    double seconds;
    pid_t pid;
    const char *core, *program, *root;
};

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

static int fail(const char *reason) {
    fprintf(stderr, PREFIX "%s\n", reason);
    return STATUS_FAILED;
}

/* Once more if libraries came or went meanwhile: then their names are not known. A process that hangs opens none. */
static size_t watch(double seconds, struct watched_python **pythons) {
    uint64_t begun = ticks_monotonic();
    size_t count = 0;
    bool is_first = true;
    while (is_first || (ticks_monotonic() - begun < AGAIN_S * 1000000000ull && objects_have_changed())) {
        is_first = false;
        objects_find();
        objects_take_program_name();
        count = watch_start(pythons);
        if (count) {
            watch_run((uint64_t)(seconds * 1e9));
        }
    }
    return count;
}

static int end(bool is_explained) {
    static char reason[64];
    if (output_failure()) {
        snprintf(reason, sizeof reason, "can't write: %s", strerror(output_failure()));
        return fail(reason);
    }
    return is_explained ? STATUS_EXPLAINED : STATUS_NOTHING;
}

static int inspect_core(const struct arguments *given) {
    static char reason[4096];
    bool is_explained = false;
    return post_mortem(given->core, given->program, given->root, &is_explained, reason, sizeof reason)
               ? end(is_explained)
               : fail(reason);
}

static int inspect(pid_t pid, double seconds) {
    static char reason[512];
    struct watched_python *pythons;
    if (!live_open(pid, reason, sizeof reason)) {
        return fail(reason);
    }
    size_t count = watch(seconds, &pythons);
    if (!count) {
        const struct target_object *executable = objects_executable();
        snprintf(reason, sizeof reason, "process %d: there is no CPython in it (%s)", (int)pid,
                 executable ? executable->path : "its executable is not known");
        return fail(reason);
    }
    journal_take();
    return end(explain(pythons, count));
}

/* Takes the option at argv[*at], with its argument. Returns 0, or the exit status of wrong usage. */
static int take_option(char **argv, int *at, struct arguments *given) {
    const char *word = argv[*at], *next = argv[*at + 1];
    if (strcmp(word, "-j") == 0) {
        options.log_format = LOG_JSON;
        return 0;
    }
    if (strcmp(word, "-s") == 0) {
        (*at)++;
        return next && read_seconds(next, &given->seconds)
                   ? 0
                   : wrong_usage("-s needs a number of seconds, e.g. 5 or 0.5", "");
    }
    const char **file = strcmp(word, "--core") == 0 ? &given->core : strcmp(word, "--root") == 0 ? &given->root : NULL;
    if (!file) {
        return wrong_usage("unknown option ", word);
    }
    if (*file || !next) {
        return wrong_usage(next ? "only once: " : "the name of a file is missing after ", word);
    }
    *file = next;
    (*at)++;
    return 0;
}

static int take_arguments(char **argv, struct arguments *given) {
    const char *words[2] = {NULL, NULL};
    int count = 0, status = 0;
    for (int i = 1; argv[i] && !status; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1];
        if (is_option) {
            status = take_option(argv, &i, given);
        } else if (count < 2) {
            words[count++] = argv[i];
        }
    }
    if (status) {
        return status;
    }
    if (given->core) {
        given->program = words[0];
        return count > 1 ? wrong_usage("one program at a time: ", words[1]) : 0;
    }
    if (given->root) {
        return wrong_usage("--root is for --core", "");
    }
    if (count != 1) {
        return count ? wrong_usage("one process at a time: ", words[1]) : wrong_usage("no process given", "");
    }
    return read_pid(words[0], &given->pid) ? 0 : wrong_usage("no number of a process: ", words[0]);
}

int main(int argc, char **argv) {
    struct arguments given = {.seconds = 0.3};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            puts("gilshim-inspect (gilshim) " GILSHIM_VERSION);
            return 0;
        }
    }
    int status = take_arguments(argv, &given);
    if (status) {
        return status;
    }
    ticks_start();
    set_limits(given.core ? 60 : given.seconds); /* a core file may be on a slow disk */
    return given.core ? inspect_core(&given) : inspect(given.pid, given.seconds);
}
