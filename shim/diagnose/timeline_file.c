#include "diagnose/timeline_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diagnose/report.h"
#include "system/descriptor.h"
#include "system/output.h"
#include "system/path.h"

#define CLOSING "\n]\n"

enum { CAPACITY = 64 * 1024 };

static struct {
    char path[1200];
    pid_t pid;
    uint64_t size;         /* bytes written so far, in whole lines */
    uint64_t half;         /* half of the limit */
    struct descriptor old; /* FILE.1, once it is ours; never used, only compared */
    bool is_first;         /* no line in it yet: the next one needs no comma before it */
    bool can_seek;         /* the bracket can be overwritten */
    size_t length;
    char buffer[CAPACITY + sizeof CLOSING];
} file;
static struct output_patience patience;
static struct descriptor out = {.fd = -1}; /* not in `file`, whose buffer would then be stored in the library's .data */

static void complain(const char *what, int error) {
    static char buffer[sizeof file.path + 100]; /* too large for a host's stack */
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "warning: ");
    text_add(&text, what);
    text_add(&text, " the timeline \"");
    text_add(&text, file.path);
    text_add(&text, "\": ");
    descriptor_add_reason(&text, error);
    report_line(text_end(&text));
}

/* Returns how many of the first `size` bytes of the buffer are whole lines that leave room for the closing bracket. */
static size_t whole_lines(const char *bytes, size_t size) {
    size_t length = size > strlen(CLOSING) ? size - strlen(CLOSING) : 0;
    while (length && memcmp(bytes + length, ",\n", 2) != 0) {
        length--;
    }
    return length;
}

/* Writes a piece. If it does not fit, keeps its whole lines, and it is the last piece. */
static bool write_out(const char *bytes, size_t size) {
    if (!descriptor_is_ours(&out) && !(file.can_seek && descriptor_open_again(&out, file.path))) {
        complain("the program has closed the file of", errno);
        out.fd = -1;
        return false;
    }
    errno = EPIPE;
    size_t done = file.can_seek ? output_write_at(out.fd, bytes, size, (off_t)file.size)
                                : output_write(out.fd, bytes, size, &patience);
    if (done == size) {
        return true;
    }
    complain("can't write any more of", errno);
    size_t kept = file.size + whole_lines(bytes, done);
    /* This goes over bytes that the file has already, of this piece or of the last bracket, so it needs no room. */
    if (file.can_seek && file.size) {
        output_write_at(out.fd, CLOSING, strlen(CLOSING), (off_t)kept);
        if (ftruncate(out.fd, (off_t)(kept + strlen(CLOSING))) != 0) {
            errno = 0; /* a device */
        }
    }
    descriptor_close(&out);
    return false;
}

/* Writes the contents of the buffer and the closing bracket as one piece. */
static bool put_buffer(bool is_last) {
    size_t size = file.length;
    if (file.can_seek || is_last) {
        memcpy(file.buffer + size, CLOSING, strlen(CLOSING));
        size += strlen(CLOSING);
    }
    bool is_written = write_out(file.buffer, size);
    file.size += is_written ? file.length : 0;
    file.length = 0;
    return is_written;
}

enum { NAMES_MAX = 1000 };

/* Returns the name FILE.1. */
static const char *name_of_old(void) {
    static char name[sizeof file.path + 8]; /* too large for a host's stack */
    struct text text = text_start(name, sizeof name);
    text_add(&text, file.path);
    text_add(&text, ".1");
    return text_end(&text);
}

static bool is_there(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

/* Creates the first of FILE, FILE-2, FILE-3, ... that does not exist and whose predecessor's name (FILE.1) does not
 * exist either. Otherwise it could destroy an earlier timeline of this process, from before an exec, or one of a
 * process in another container. */
static bool create(void) {
    size_t length = strlen(file.path);
    for (unsigned number = 1; number <= NAMES_MAX; number++) {
        struct text text = {file.path, sizeof file.path, length};
        if (number > 1) {
            text_add(&text, "-");
            text_add_decimal(&text, number);
        }
        text_end(&text);
        errno = EEXIST;
        if ((file.old.fd >= 0 || !is_there(name_of_old())) && descriptor_create(&out, file.path)) {
            return true;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return false;
}

static bool begin(void) {
    if (!create()) {
        out.fd = -1;
        complain("can't write", errno);
        return false;
    }
    file.can_seek = lseek(out.fd, 0, SEEK_CUR) == 0;
    file.size = 0;
    file.is_first = true;
    file.buffer[0] = '[';
    file.buffer[1] = '\n';
    file.length = 2;
    return put_buffer(false);
}

bool timeline_file_open(const char *pattern, uint64_t limit) {
    struct text path = text_start(file.path, sizeof file.path);
    file.pid = getpid();
    file.half = limit / 2;
    file.old.fd = -1;
    if (!path_expand(&path, pattern)) {
        complain("can't write", ENAMETOOLONG);
        return false;
    }
    return begin();
}

pid_t timeline_file_pid(void) {
    return file.pid;
}

bool timeline_file_is_open(void) {
    return out.fd >= 0;
}

void timeline_file_flush(void) {
    if (out.fd >= 0 && file.length) {
        put_buffer(false);
    }
}

void timeline_file_close(void) {
    if (out.fd >= 0 && ((file.can_seek && !file.length) || put_buffer(true))) {
        descriptor_close(&out);
    }
}

void timeline_file_forget(void) {
    descriptor_close(&out);
    file.length = 0;
}

/* Renames the file to FILE.1. An existing FILE.1 may be replaced only if it is ours, from the last time. */
static bool rename_file(const struct descriptor *from) {
    struct stat status;
    const char *old = name_of_old();
    bool is_taken = lstat(old, &status) == 0;
    if (is_taken && (file.old.fd < 0 || status.st_dev != file.old.device || status.st_ino != file.old.inode)) {
        errno = EEXIST;
        return false;
    }
    if (rename(file.path, old) != 0) {
        return false;
    }
    file.old = *from;
    return true;
}

static void rotate(void) {
    struct descriptor full = out;
    timeline_file_close();
    if (full.fd < 0 || !rename_file(&full)) {
        complain("can't rename the full half of", errno);
        return;
    }
    begin();
}

/* The comma is before a line, so that the last line needs none: the array can be closed at any time. */
bool timeline_file_add(const struct text *event) {
    if (out.fd < 0 || event->length >= event->capacity) {
        return true; /* the line was cut: half an object would make the file invalid */
    }
    if (file.length + event->length + 2 > CAPACITY) {
        timeline_file_flush();
    }
    if (out.fd >= 0 && !file.is_first) {
        memcpy(file.buffer + file.length, ",\n", 2);
        file.length += 2;
    }
    memcpy(file.buffer + file.length, event->buffer, event->length);
    file.length += event->length;
    file.is_first = false;
    if (out.fd >= 0 && file.size + file.length > file.half) {
        rotate();
        return false;
    }
    return true;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

/* Returns the length of the UTF-8 character at `c`, or 0 if there is none. */
static size_t character(const unsigned char *c) {
    size_t length = c[0] < 0x80                   ? 1
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                    : (c[0] & 0xf0) == 0xe0       ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_wrong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf0 && c[1] < 0x90) ||
                    (c[0] == 0xf4 && c[1] >= 0x90); /* overlong, a surrogate, beyond U+10FFFF */
    return is_wrong ? 0 : length;
}

void timeline_add_string(struct text *text, const char *string) {
    const unsigned char *c = (const unsigned char *)string;
    text_add(text, "\"");
    while (*c) {
        size_t length = character(c);
        if (length == 0 || *c < 0x20) {
            text_add(text, "?");
        } else if (*c == '"' || *c == '\\') {
            text_add(text, *c == '"' ? "\\\"" : "\\\\");
        } else {
            text_add_span(text, (const char *)c, length);
        }
        c += length ? length : 1;
    }
    text_add(text, "\"");
}
