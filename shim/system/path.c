#include "system/path.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The replacement for %e. While the program starts, code may run before the constructor, and it finds "program" here.
 * Nobody should ever see that. */
static char program[256] = "program";

/* Makes a string that others had a hand in fit to be part of a file's name. */
static void make_harmless(char *name) {
    if (!*name || *name == '.') {
        *name = '_';
    }
    for (char *c = name; *c; c++) {
        if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f) {
            *c = '_';
        }
    }
}

void path_start(void) {
    strncpy(program, program_invocation_short_name, sizeof program - 1);
    make_harmless(program);
}

bool path_expand(struct text *text, const char *pattern) {
    size_t start = text->length;
    bool has_pid = false;
    for (const char *c = pattern; *c; c++) {
        if (c[0] != '%' || !c[1]) {
            text_add_span(text, c, 1);
            continue;
        }
        char host[HOST_NAME_MAX + 1] = "host";
        switch (*++c) {
        case 'p':
            text_add_decimal(text, (uint64_t)getpid());
            has_pid = true;
            break;
        case 'h':
            gethostname(host, sizeof host - 1);
            make_harmless(host);
            text_add(text, host);
            break;
        case 'e': text_add(text, program); break;
        case '%': text_add(text, "%"); break;
        default: text_add_span(text, c - 1, 2); break;
        }
    }
    struct stat status;
    if (text->length >= text->capacity) {
        return false;
    }
    text_end(text);
    if (!has_pid &&
        !(lstat(text->buffer + start, &status) == 0 && (S_ISCHR(status.st_mode) || S_ISDIR(status.st_mode)))) {
        text_add(text, ".");
        text_add_decimal(text, (uint64_t)getpid());
    }
    bool fits = text->length < text->capacity;
    text_end(text);
    return fits;
}

bool path_is_device(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 && S_ISCHR(status.st_mode);
}

bool path_make_absolute(char *path, size_t size, bool is_pattern) {
    char folder[PATH_MAX];
    if (path[0] == '/') {
        return true;
    }
    if (!getcwd(folder, sizeof folder)) {
        return false;
    }
    size_t length = strlen(path), extra = 1;
    for (const char *c = folder; *c; c++) {
        extra += 1 + (is_pattern && *c == '%');
    }
    if (length + extra >= size) {
        errno = ENAMETOOLONG;
        return false;
    }
    memmove(path + extra, path, length + 1);
    for (const char *c = folder; *c; c++) {
        *path++ = *c;
        if (is_pattern && *c == '%') {
            *path++ = '%';
        }
    }
    *path = '/';
    return true;
}
