#include "process/log.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/log_form.h"
#include "process/options.h"
#include "process/streams.h"
#include "system/aside.h"
#include "system/descriptor.h"
#include "system/output.h"
#include "system/path.h"

/* The log file, while it is open, and whose it is. */
static struct {
    struct descriptor to;
    pid_t pid;
    pid_t opener; /* the process that is opening it; 0: none. A fork child may be a copy from that moment */
    char path[sizeof options.log_path + 300];
} log_file = {.to.fd = -1};

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* How many lines were lost since the last that could be written, and whether the last one was written in part. */
static unsigned lost;
static bool is_torn;
static struct output_patience patience;

/* Returns false if the reader has gone, the disk is full, nobody reads, or there is nowhere to write to (-1). */
static bool write_all(int fd, const char *bytes, size_t size) {
    size_t done = fd < 0 ? 0 : output_write(fd, bytes, size, &patience);
    if (done && done < size) {
        __atomic_store_n(&is_torn, true, __ATOMIC_RELAXED);
    }
    return done == size;
}

/* Ends the text and writes it with a newline, which it leaves at text->buffer[text->length]. Returns false if it could
 * not be written. */
static bool put(int fd, struct text *text) {
    size_t size = log_form_end(text);
    return write_all(fd, text->buffer, size);
}

static pid_t own_tid(void) {
    return (pid_t)syscall(SYS_gettid);
}

static bool put_message(int fd, const char *line) {
    char buffer[3600];
    pid_t tid = options.log_format == LOG_JSON ? own_tid() : 0; /* a line of text needs no system call for it */
    struct text text = log_form_message(buffer, sizeof buffer, line, getpid(), tid);
    return put(fd, &text);
}

/* Says first how many earlier lines were lost, if any. Returns false if that can't be written either. */
static bool put_loss(int fd) {
    unsigned count = __atomic_load_n(&lost, __ATOMIC_RELAXED);
    if (!count) {
        return true;
    }
    char buffer[100];
    struct text text = text_start(buffer, sizeof buffer);
    text_add_decimal(&text, count);
    text_add(&text,
             count == 1 ? " line before this one could not be written" : " lines before this one could not be written");
    if (__atomic_load_n(&is_torn, __ATOMIC_RELAXED) && !write_all(fd, "\n", 1)) {
        return false;
    }
    __atomic_store_n(&is_torn, false, __ATOMIC_RELAXED);
    if (!put_message(fd, text_end(&text))) {
        return false;
    }
    __atomic_sub_fetch(&lost, count, __ATOMIC_RELAXED);
    return true;
}

static void count_lost(bool is_written) {
    __atomic_add_fetch(&lost, !is_written, __ATOMIC_RELAXED);
}

/* Returns stderr, or -1 if the program has closed it or put something else in its place. */
static int standard_error(void) {
    return streams_has(STDERR_FILENO) ? STDERR_FILENO : -1;
}

static void open_file(void *unused) {
    (void)unused;
    struct text text = text_start(log_file.path, sizeof log_file.path);
    descriptor_close(&log_file.to);
    errno = ENAMETOOLONG;
    if (!path_expand(&text, options.log_path) || !descriptor_append(&log_file.to, log_file.path)) {
        int error = errno;
        char line[sizeof log_file.path + 100];
        text = text_start(line, sizeof line);
        text_add(&text, "warning: can't write the log file \"");
        text_add(&text, log_file.path);
        text_add(&text, "\": ");
        descriptor_add_reason(&text, error);
        text_add(&text, "; using stderr instead");
        put_message(standard_error(), text_end(&text));
        log_file.to.fd = -1;
        options.log_path[0] = '\0';
    }
    log_file.pid = getpid();
}

void log_open(void) {
    pid_t me = getpid();
    if (!options_log_is_file() || (log_file.pid == me && descriptor_is_ours(&log_file.to)) ||
        __atomic_exchange_n(&log_file.opener, me, __ATOMIC_ACQUIRE) == me) {
        return;
    }
    int saved_errno = errno;
    aside_run(open_file, NULL);
    errno = saved_errno;
    __atomic_store_n(&log_file.opener, 0, __ATOMIC_RELEASE);
}

/* Returns the descriptor that lines go to now, or -1 if there is none. A fork child gets a file of its own. */
static int destination(void) {
    if (strcmp(options.log_path, "stdout") == 0) {
        return streams_has(STDOUT_FILENO) ? STDOUT_FILENO : -1;
    }
    if (options_log_is_file()) {
        log_open(); /* opens a fork child's file, or opens it again if the program has closed it */
        if (options_log_is_file()) {
            /* Not while another thread is opening the file, nor in a fork child that was forked while another thread
             * was. */
            return log_file.pid == getpid() && descriptor_is_ours(&log_file.to) ? log_file.to.fd : -1;
        }
    }
    return standard_error();
}

void log_bytes(const char *bytes, size_t size) {
    int saved_errno = errno;
    count_lost(write_all(destination(), bytes, size));
    errno = saved_errno;
}

void log_lose(void) {
    count_lost(false);
}

static void write_line(void *line) {
    int fd = destination();
    count_lost(put_loss(fd) && put_message(fd, line));
}

void log_line(const char *line) {
    int saved_errno = errno;
    if (!aside_run(write_line, (void *)line)) {
        log_lose();
    }
    errno = saved_errno;
}

void log_text(struct text *text) {
    int saved_errno = errno;
    int fd = destination();
    bool is_written = put_loss(fd) && put(fd, text);
    count_lost(is_written);
    if (!is_written) {
        text_end(text); /* callers rely on what `put` leaves */
        text->buffer[text->length] = '\n';
    }
    errno = saved_errno;
}

struct text log_start(char *buffer, size_t capacity) {
    return log_form_start(buffer, capacity, getpid());
}

struct json log_json(char *buffer, size_t capacity, const char *type) {
    return log_form_json(buffer, capacity, type, getpid(), own_tid());
}

bool log_has_color(void) {
    return options.color == COLOR_ALWAYS || (options.color == COLOR_AUTO && isatty(destination()));
}
