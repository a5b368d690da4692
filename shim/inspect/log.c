/* What is said goes to standard output, as process/log.h has it. The process that is spoken of is the target. */
#include "process/log.h"

#include <errno.h>
#include <unistd.h>

#include "inspect/output.h"
#include "inspect/target.h"
#include "process/log_form.h"

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
    size_t size = log_form_end(text);
    write_all(text->buffer, size);
}

struct text log_start(char *buffer, size_t capacity) {
    return log_form_start(buffer, capacity, target_pid());
}

struct json log_json(char *buffer, size_t capacity, const char *type) {
    return log_form_json(buffer, capacity, type, target_pid(), 0);
}

void log_line(const char *line) {
    static char buffer[8192];
    struct text text = log_form_message(buffer, sizeof buffer, line, target_pid(), 0);
    log_text(&text);
}
