#include "timeline_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "descriptor.h"
#include "path.h"
#include "report.h"

#define CLOSING "\n]\n"

enum { CAPACITY = 64 * 1024 };

static struct {
    char path[1200];
    uint64_t size; /* written so far: whole lines */
    uint64_t half; /* half of the limit */
    bool is_first; /* no line in it yet: the next needs no comma in front */
    bool can_seek; /* the bracket can be overwritten */
    size_t length;
    char buffer[CAPACITY + sizeof CLOSING];
} file;
static struct descriptor out = {.fd = -1}; /* apart from the buffer, which else would be data of the library's file */

static void complain(const char *what) {
    char buffer[sizeof file.path + 100];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "warning: ");
    text_add(&text, what);
    text_add(&text, " the timeline \"");
    text_add(&text, file.path);
    text_add(&text, "\" (errno ");
    text_add_decimal(&text, (uint64_t)errno);
    text_add(&text, ")");
    report_line(text_end(&text));
}

/* Writes all or nothing: what came out of a line by half is cut off again. */
static bool write_out(const char *bytes, size_t size) {
    if (!descriptor_is_ours(&out) && !(file.can_seek && descriptor_open_again(&out, file.path, O_WRONLY))) {
        complain("the program has closed the file of");
        out.fd = -1;
        return false;
    }
    size_t done = 0;
    while (done < size) {
        ssize_t count = file.can_seek ? pwrite(out.fd, bytes + done, size - done, (off_t)(file.size + done))
                                      : write(out.fd, bytes + done, size - done);
        if (count < 0 && errno != EINTR) {
            complain("can't write on");
            if (ftruncate(out.fd, (off_t)file.size) != 0 ||
                pwrite(out.fd, CLOSING, strlen(CLOSING), (off_t)file.size) < 0) {
                errno = 0; /* not a file that can be cut: a pipe, /dev/full */
            }
            descriptor_close(&out);
            return false;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    return true;
}

/* Writes what is in the buffer, with the closing bracket behind it, as one piece. */
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

static bool begin(void) {
    if (!descriptor_open(&out, file.path, O_WRONLY | O_CREAT | O_TRUNC)) {
        out.fd = -1;
        complain("can't write");
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
    path_expand(&path, pattern);
    text_end(&path);
    file.half = limit / 2;
    return begin();
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

static bool rotate(void) {
    char old[sizeof file.path + 8];
    struct text text = text_start(old, sizeof old);
    text_add(&text, file.path);
    text_add(&text, ".1");
    timeline_file_close();
    if (rename(file.path, text_end(&text)) != 0) {
        complain("can't rename");
    }
    return begin();
}

/* The comma stands in front of a line, so that the last needs none: the array can be closed at any time. */
bool timeline_file_add(const struct text *event) {
    if (out.fd < 0 || event->length >= event->capacity) {
        return true; /* cut: half an object would spoil the file */
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

/* Length of the UTF-8 character at `c`; 0: it is none. */
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
                    (c[0] == 0xf4 && c[1] >= 0x90); /* too long, half a pair, too large */
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
