/* The process's own options: GILSHIM_OPTIONS as it was when the process started. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/options.h"
#include "system/list.h"
#include "system/path.h"
#include "system/text.h"

struct options options;

/* A copy of the variable as it was in the constructor, in pages of its own if it is long. Programs that change their
 * title overwrite the original. */
static char environment[4096];
static const char *environment_copy = "";

static const char *copy_environment(const char *value) {
    size_t size = strlen(value) + 1;
    char *copy = size <= sizeof environment ? environment : list_map_pages(size);
    if (!copy) {
        return ""; /* without memory, no complaints are made later */
    }
    return memcpy(copy, value, size);
}

/* What was asked for and can't be done. It is found when the options are read, and told with the other complaints. */
enum { REFUSALS_MAX = 4 };
static const char *refusals[REFUSALS_MAX];
static unsigned refusal_count;

static void refuse(const char *words) {
    if (refusal_count < REFUSALS_MAX) {
        refusals[refusal_count++] = words;
    }
}

static void stay_silent(const char *text) {
    (void)text;
}

bool options_log_is_file(void) {
    return options.log_path[0] && strcmp(options.log_path, "stderr") != 0 && strcmp(options.log_path, "stdout") != 0;
}

/* Returns true if a summary would go where it is wanted. summary=@INODE is for programs that read their children's
 * stderr: those must not find a summary in it. */
static bool summary_has_reader(void) {
    struct stat status;
    return !options.summary_stderr || options_log_is_file() ||
           (fstat(STDERR_FILENO, &status) == 0 && status.st_ino == options.summary_stderr);
}

/* Replaces the names that the standard streams have in /dev and /proc by "stderr" and "stdout". */
static void name_stream(char *path) {
    static const char *const names[][2] = {{"/dev/stderr", "stderr"},     {"/dev/fd/2", "stderr"},
                                           {"/proc/self/fd/2", "stderr"}, {"/dev/stdout", "stdout"},
                                           {"/dev/fd/1", "stdout"},       {"/proc/self/fd/1", "stdout"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(path, names[i][0]) == 0) {
            memcpy(path, names[i][1], strlen(names[i][1]) + 1);
        }
    }
}

/* Relative names belong to the folder that the program was started in, wherever it goes later. */
static void settle_paths(void) {
    name_stream(options.log_path);
    if (options_log_is_file() && !path_make_absolute(options.log_path, sizeof options.log_path, true)) {
        refuse(errno == ENAMETOOLONG
                   ? "warning: log_path= with the current folder in front is too long; using stderr instead"
                   : "warning: log_path= is relative to a folder that has been deleted; using stderr instead");
        options.log_path[0] = '\0';
    }
    if (options.timeline[0] && !path_make_absolute(options.timeline, sizeof options.timeline, true)) {
        refuse(errno == ENAMETOOLONG
                   ? "warning: timeline= with the current folder in front is too long; no timeline is written"
                   : "warning: timeline= is relative to a folder that has been deleted; no timeline is written");
        options.timeline[0] = '\0';
    }
    if (options.suppressions[0] && !path_make_absolute(options.suppressions, sizeof options.suppressions, false)) {
        refuse("warning: suppressions= is relative to a folder that can't be found; nothing is suppressed");
        options.suppressions[0] = '\0';
    }
    char log[sizeof options.log_path + 300], timeline[sizeof options.timeline + 300];
    struct text log_text = text_start(log, sizeof log), timeline_text = text_start(timeline, sizeof timeline);
    if (options.timeline[0] && options_log_is_file() && path_expand(&log_text, options.log_path) &&
        path_expand(&timeline_text, options.timeline) && strcmp(log, timeline) == 0 && !path_is_device(log)) {
        refuse("warning: log_path= and timeline= name the same file; no timeline is written");
        options.timeline[0] = '\0';
    }
}

/* color=auto: what the environment says. COLOR_AUTO: a terminal gets colours, nothing else does. */
static enum color color_by_environment(void) {
    const char *no_color = secure_getenv("NO_COLOR"), *force = secure_getenv("CLICOLOR_FORCE");
    const char *terminal = secure_getenv("TERM");
    if (no_color && *no_color) {
        return COLOR_NEVER;
    }
    if (force && *force && strcmp(force, "0") != 0) {
        return COLOR_ALWAYS;
    }
    return terminal && strcmp(terminal, "dumb") != 0 ? COLOR_AUTO : COLOR_NEVER;
}

void options_read(void) {
    const char *value = secure_getenv("GILSHIM_OPTIONS");
    options_default(&options);
    environment_copy = "";
    refusal_count = 0;
    if (value && *value) {
        environment_copy = copy_environment(value);
        options_parse(&options, value, stay_silent);
        settle_paths();
    }
    options.summary = options.summary && summary_has_reader();
    if (options.color == COLOR_AUTO) {
        options.color = color_by_environment();
    }
}

void options_complain(options_complaint *complain) {
    struct options again;
    options_default(&again);
    options_parse(&again, environment_copy, complain);
    for (unsigned i = 0; i < refusal_count; i++) {
        complain(refusals[i]);
    }
}
