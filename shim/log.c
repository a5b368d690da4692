#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "descriptor.h"
#include "json.h"
#include "options.h"
#include "path.h"

/* The log file, while it is open, and whose it is. */
static struct {
    struct descriptor to;
    pid_t pid;
} log_file = {.to.fd = -1};

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* What could not be written since the last that could. */
static unsigned lost;

enum { PATIENCE_MS = 1000, PIECE = 4096 }; /* a pipe takes PIPE_BUF bytes as one */

/* False: the reader has gone, the disk is full, or nobody takes it. None of them may trouble the host for longer. */
static bool write_all(int fd, const char *bytes, size_t size) {
    while (size) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (poll(&ready, 1, PATIENCE_MS) == 0) {
            return false;
        }
        ssize_t written = write(fd, bytes, size < PIECE ? size : PIECE);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
    return true;
}

void log_guard_begin(struct log_guard *guard) {
    sigset_t pipe, pending;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    guard->was_pending = sigismember(&pending, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &guard->before);
}

void log_guard_end(const struct log_guard *guard) {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    const struct timespec at_once = {0, 0};
    while (!guard->was_pending && sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR) {
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
}

static bool write_quietly(int fd, const char *bytes, size_t size) {
    struct log_guard guard;
    log_guard_begin(&guard);
    bool is_written = write_all(fd, bytes, size);
    log_guard_end(&guard);
    return is_written;
}

/* Leaves a newline at text->buffer[text->length]. */
static void put(int fd, struct text *text) {
    text_end(text);
    text->buffer[text->length] = '\n'; /* in place of the 0 byte */
    if (!write_quietly(fd, text->buffer, text->length + 1)) {
        __atomic_add_fetch(&lost, 1, __ATOMIC_RELAXED);
    }
}

static void add_prefix(struct text *text) {
    text_add(text, "==");
    text_add_decimal(text, (uint64_t)getpid());
    text_add(text, "== gilshim: ");
}

struct json log_json(char *buffer, size_t capacity, const char *type) {
    struct json json = json_start(buffer, capacity);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_seconds(&json, "time", (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    json_number(&json, "pid", (uint64_t)getpid());
    json_number(&json, "tid", (uint64_t)syscall(SYS_gettid));
    json_string(&json, "type", type);
    return json;
}

static void put_message(int fd, const char *line) {
    char buffer[1600];
    struct text text;
    if (options.log_format == LOG_JSON) {
        struct json json = log_json(buffer, sizeof buffer, "message");
        json_string(&json, "text", line);
        text = json_end(&json);
    } else {
        text = text_start(buffer, sizeof buffer);
        add_prefix(&text);
        text_add(&text, line);
    }
    put(fd, &text);
}

/* Says so first, where earlier lines did not get through. */
static void put_after_loss(int fd) {
    unsigned count = __atomic_exchange_n(&lost, 0, __ATOMIC_RELAXED);
    if (count) {
        char buffer[100];
        struct text text = text_start(buffer, sizeof buffer);
        text_add_decimal(&text, count);
        text_add(&text, " lines before this one could not be written");
        put_message(fd, text_end(&text));
    }
}

void log_open(void) {
    if (!options_log_is_file() || (log_file.pid == getpid() && descriptor_is_ours(&log_file.to))) {
        return;
    }
    int saved_errno = errno;
    descriptor_close(&log_file.to);
    char path[sizeof options.log_path + 300];
    struct text text = text_start(path, sizeof path);
    path_expand(&text, options.log_path);
    text_end(&text);
    if (!descriptor_open(&log_file.to, path, O_WRONLY | O_CREAT | O_APPEND)) {
        char line[sizeof path + 100];
        text = text_start(line, sizeof line);
        text_add(&text, "warning: can't write the log file \"");
        text_add(&text, path);
        text_add(&text, "\" (errno ");
        text_add_decimal(&text, (uint64_t)errno);
        text_add(&text, "); stderr is used");
        put_message(STDERR_FILENO, text_end(&text));
        log_file.to.fd = -1;
        options.log_path[0] = '\0';
    }
    log_file.pid = getpid();
    errno = saved_errno;
}

/* Where lines go now; a fork child gets a file of its own. */
static int destination(void) {
    if (strcmp(options.log_path, "stdout") == 0) {
        return STDOUT_FILENO;
    }
    if (!options_log_is_file()) {
        return STDERR_FILENO;
    }
    log_open(); /* a fork child's, or again if the program has closed it */
    return log_file.to.fd >= 0 ? log_file.to.fd : STDERR_FILENO;
}

int log_descriptor(void) {
    return destination();
}

void log_line(const char *line) {
    int saved_errno = errno;
    int fd = destination();
    put_after_loss(fd);
    put_message(fd, line);
    errno = saved_errno;
}

void log_text(struct text *text) {
    int saved_errno = errno;
    int fd = destination();
    put_after_loss(fd);
    put(fd, text);
    errno = saved_errno;
}

struct text log_start(char *buffer, size_t capacity) {
    struct text text = text_start(buffer, capacity);
    add_prefix(&text);
    return text;
}

bool log_has_color(void) {
    return options.color == COLOR_ALWAYS || (options.color == COLOR_AUTO && isatty(destination()));
}
