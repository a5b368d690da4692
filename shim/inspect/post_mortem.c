#include "inspect/post_mortem.h"

#include <stdio.h>
#include <string.h>

#include "inspect/core.h"
#include "inspect/core_files.h"
#include "inspect/crashed.h"
#include "inspect/explain.h"
#include "inspect/journal.h"
#include "inspect/objects.h"
#include "inspect/watch.h"
#include "process/log.h"
#include "process/options.h"
#include "system/json.h"

/* ---- files that are not there ------------------------------------------------------------------------------------ */

enum { TOLD = 8, NAMED = 3 };

static size_t lost_count;

/* A library's code is not in a core file. Without it, its functions have no names and stacks break off. */
static void tell_lost(const struct core_file *file) {
    char buffer[5000];
    if (lost_count++ >= TOLD) {
        return;
    }
    if (options.log_format == LOG_JSON) {
        struct json json = log_json(buffer, sizeof buffer, "file");
        json_string(&json, "path", file->path);
        json_bool(&json, "replaced", file->state == CORE_FILE_REPLACED);
        json_string(&json, "build_id", file->wanted[0] ? file->wanted : NULL);
        struct text text = json_end(&json);
        log_text(&text);
        return;
    }
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "  file: ");
    text_add(&text, file->path);
    if (file->state == CORE_FILE_REPLACED) {
        text_add(&text, " has been replaced since: its build id is ");
        text_add(&text, file->found[0] ? file->found : "missing");
        text_add(&text, ", and was ");
        text_add(&text, file->wanted[0] ? file->wanted : "another");
    } else {
        text_add(&text, " is not here");
        text_add(&text, file->wanted[0] ? "; its build id is " : "");
        text_add(&text, file->wanted);
    }
    text_add(&text, ": what is in it has no names, and stacks may break off there");
    log_line(text_end(&text));
}

/* ---- no CPython -------------------------------------------------------------------------------------------------- */

/* Of files that are not there, the ones that are most likely a CPython come first. */
static struct {
    char names[1400];
    size_t count;
    bool is_replaced;
} missing;

static void name_missing(const struct core_file *file) {
    const char *slash = strrchr(file->path, '/');
    size_t length = strlen(missing.names);
    bool may_be_python = file->is_program || strstr(slash ? slash : file->path, "python");
    if (!may_be_python || missing.count++ >= NAMED) {
        return;
    }
    missing.is_replaced |= file->state == CORE_FILE_REPLACED;
    snprintf(missing.names + length, sizeof missing.names - length, "%s%.300s%s%s", length ? ", " : "", file->path,
             file->wanted[0] ? " with build id " : "", file->wanted);
}

static void explain_cut(const char *path, char *reason, size_t capacity) {
    snprintf(
        reason, capacity,
        "%s is truncated: %zu MB are missing, and with them what it could say of CPython (see ulimit -c, or whether a "
        "disk was full)",
        path, (core_image()->missing >> 20) + 1);
}

static bool has_picture(const struct watched_python *pythons, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (pythons[i].has_picture) {
            return true;
        }
    }
    return false;
}

static void explain_absence(const char *path, char *reason, size_t capacity) {
    const struct core_image *core = core_image();
    memset(&missing, 0, sizeof missing);
    core_files_visit_lost(name_missing);
    if (missing.count) {
        snprintf(
            reason, capacity,
            "%s: no CPython is found in it, but these files are %s: %s; install that version, or say where they are "
            "(--core CORE EXE, --root DIR)",
            path, missing.is_replaced ? "not here or have been replaced" : "not here", missing.names);
    } else if (core->missing) {
        explain_cut(path, reason, capacity);
    } else {
        const struct target_object *executable = objects_executable();
        snprintf(reason, capacity, "%s: there is no CPython in it (%s)", path,
                 executable ? executable->path : core->name);
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void tell_cut(const struct core_image *core) {
    char buffer[200];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "  truncated: ");
    text_add_decimal(&text, (core->missing >> 20) + 1);
    text_add(&text, " MB of the core file are missing (see ulimit -c, or whether a disk was full): what was said may "
                    "be incomplete");
    log_line(text_end(&text));
}

bool post_mortem(const char *path, const char *program, const char *root, bool *is_explained, char *reason,
                 size_t capacity) {
    struct watched_python *pythons;
    if (!core_open(path, program, root, reason, capacity)) {
        return false;
    }
    const struct core_image *core = core_image();
    objects_find();
    objects_take_program_name();
    size_t count = watch_start(&pythons);
    if (!count) {
        explain_absence(path, reason, capacity);
        return false;
    }
    if (core->missing && !has_picture(pythons, count)) {
        explain_cut(path, reason, capacity);
        return false;
    }
    watch_run(0);
    journal_take();
    *is_explained = crashed_is_crash(core) ? crashed_explain(core, pythons, count) : explain(pythons, count);
    core_files_visit_lost(tell_lost);
    if (core->missing) {
        tell_cut(core);
    }
    return true;
}
