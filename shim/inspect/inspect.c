/* gilshim-inspect PID, or --core CORE: says who holds the GIL of a process and who waits for it, as the stall watch does, from
 * outside, or of what it has died. run-with-shim.sh --pid and --core start it. */
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
#include "inspect/post_mortem.h"
#include "inspect/watch.h"
#include "process/options.h"
#include "system/nearest.h"
#include "system/text.h"
#include "system/ticks.h"
#include "version.h"

enum {
    STATUS_EXPLAINED = 0,
    STATUS_NOTHING = 1,  /* nothing to explain was found */
    STATUS_FAILED = 125, /* wrong usage, or it could not be looked at; as env, nice and timeout end */
    LIMIT_S = 10,        /* to be done in, after the time that is watched */
    CORE_LIMIT_S = 60,   /* a core file may be on a slow disk */
    WATCH_MAX_S = 3600,
    AGAIN_S = 3, /* ... and for so long it may be watched anew */
};

#define PREFIX "gilshim-inspect: "

static const char usage[] = "Usage: gilshim-inspect [-j] [-s SECONDS] [--pid] PID\n"
                            "       gilshim-inspect [-j] [--root DIR] --core CORE [EXE]\n"
                            "\n"
                            "Says which threads of the process wait for Python's GIL, which one holds it, what it\n"
                            "sleeps in, and whether that is a deadlock. The process is read from outside: it is not\n"
                            "stopped, and nothing in it changes. With --core, the same of a core file; of a crash,\n"
                            "whether the thread had the GIL.\n"
                            "\n"
                            "  -j, --json  JSON, one object a line\n"
                            "  -s SECONDS  watch for this long (default 0.3)\n"
                            "  --core CORE [EXE]\n"
                            "              explain a core file; EXE: the program, if it is not where it was\n"
                            "  --root DIR  look for the program and its libraries below DIR\n"
                            "  -h, --help\n"
                            "  --version\n"
                            "\n"
                            "Exit status 0: a stall or a crash was explained; 1: there is none; 125: wrong usage,\n"
                            "or the process or core file could not be looked at.\n";

struct arguments {
    double seconds;
    pid_t pid;
    const char *core, *program, *root;
};

/* ---- arguments --------------------------------------------------------------------------------------------------- */

/* Returns the option that `word` most likely stands for, or NULL. */
static const char *meant(const char *word) {
    static const char *const names[] = {"--pid", "--core", "--root", "--json", "--help", "--version"};
    const char *bare = word + strspn(word, "-");
    struct nearest nearest = nearest_start(bare, strlen(bare));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        nearest_offer(&nearest, names[i] + strlen("--"));
    }
    return nearest.name ? nearest.name - strlen("--") : NULL;
}

static int unknown_option(const char *word) {
    const char *option = meant(word);
    fprintf(stderr, PREFIX "unknown option %s", word);
    if (option) {
        fprintf(stderr, " (did you mean %s?)", option);
    }
    fputs("; see gilshim-inspect -h\n", stderr);
    return STATUS_FAILED;
}

static int wrong_usage(const char *words, const char *argument) {
    fprintf(stderr, PREFIX "%s%s; see gilshim-inspect -h\n", words, argument);
    return STATUS_FAILED;
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
    text_disarm(reason, strlen(reason), false);
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

static int inspect_core(void *argument) {
    const struct arguments *given = argument;
    static char reason[4096];
    bool is_explained = false;
    return post_mortem(given->core, given->program, given->root, &is_explained, reason, sizeof reason)
               ? end(is_explained)
               : fail(reason);
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

static int inspect(void *argument) {
    static char reason[512];
    const struct arguments *given = argument;
    pid_t pid = given->pid;
    double seconds = given->seconds;
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
    return end(explain(pythons, count));
}

/* Takes the option at argv[*at], with its argument. Returns 0, or the exit status of wrong usage. */
static int take_option(char **argv, int *at, struct arguments *given) {
    const char *word = argv[*at], *next = argv[*at + 1];
    if (strcmp(word, "-j") == 0 || strcmp(word, "--json") == 0) {
        options.log_format = LOG_JSON;
        return 0;
    }
    if (strcmp(word, "-s") == 0) {
        (*at)++;
        return next && read_seconds(next, &given->seconds)
                   ? 0
                   : wrong_usage("-s needs a number of seconds, e.g. 5 or 0.5", "");
    }
    if (strcmp(word, "-p") == 0 || strcmp(word, "--pid") == 0) { /* as with run-with-shim.sh; PID follows */
        return next ? 0 : wrong_usage("the number of a process is missing after ", word);
    }
    const char **file = strcmp(word, "--core") == 0 ? &given->core : strcmp(word, "--root") == 0 ? &given->root : NULL;
    if (!file) {
        return unknown_option(word);
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

/* Far more than is ever needed, and no more than half of what there is. */
static size_t memory_limit(void) {
    static const size_t most = (size_t)2 << 30;
    long pages = sysconf(_SC_PHYS_PAGES);
    size_t half = pages > 0 ? (size_t)pages / 2 * (size_t)sysconf(_SC_PAGESIZE) : most;
    return half < most ? half : most;
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
    uint64_t limit = given.core ? CORE_LIMIT_S * 1000000000ull : (uint64_t)((given.seconds + LIMIT_S) * 1e9);
    return limited_run(limit, memory_limit(), given.core ? inspect_core : inspect, &given, STATUS_FAILED);
}
