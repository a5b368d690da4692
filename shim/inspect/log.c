/* What is said goes to standard output, as process/log.h has it. The process that is spoken of is the target. */
#include "process/log.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "inspect/output.h"
#include "inspect/target.h"
#include "process/options.h"

static int failure;

int output_failure(void) {
    return failure;
}

static void write_all(const char *bytes, size_t size) {
    while (size && !failure) {
        ssize_t count = write(STDOUT_FILENO, bytes, size);
        if (count < 0 && errno != EINTR) {
            failure = errno;
        } else if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
}

void log_text(struct text *text) {
    text_end(text);
    if (options.log_format == LOG_TEXT) {
        text_disarm(text->buffer, text->length);
    }
    text->buffer[text->length] = '\n'; /* in place of the 0 byte */
    write_all(text->buffer, text->length + 1);
}

struct text log_start(char *buffer, size_t capacity) {
    struct text text = text_start(buffer, capacity);
    text_add(&text, "==");
    text_add_decimal(&text, (uint64_t)target_pid());
    text_add(&text, "== gilshim: ");
    return text;
}

struct json log_json(char *buffer, size_t capacity, const char *type) {
    struct json json = json_start(buffer, capacity);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_seconds(&json, "time", (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    json_number(&json, "pid", (uint64_t)target_pid());
    json_string(&json, "type", type);
    return json;
}

void log_line(const char *line) {
    static char buffer[8192];
    struct text text;
    if (options.log_format == LOG_JSON) {
        struct json json = log_json(buffer, sizeof buffer, "message");
        json_string(&json, "text", line);
        text = json_end(&json);
    } else {
        text = log_start(buffer, sizeof buffer);
        text_add(&text, line);
    }
    log_text(&text);
}
