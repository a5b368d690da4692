#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "elf.h"
#include "journal.h"
#include "text.h"

/* The log file, while it is open: which file it was, since daemons close descriptors they did not open and get the
 * number again for something else. */
static struct {
    int fd;
    pid_t pid;
    dev_t device;
    ino_t inode;
} log_file = {.fd = -1};

static void add_log_path(struct text *path) {
    bool has_pid = false;
    for (const char *c = options.log_path; *c; c++) {
        if (c[0] != '%' || !c[1]) {
            text_add_span(path, c, 1);
            continue;
        }
        char host[256] = "host";
        switch (*++c) {
        case 'p':
            text_add_decimal(path, (uint64_t)getpid());
            has_pid = true;
            break;
        case 'h':
            gethostname(host, sizeof host - 1);
            text_add(path, host);
            break;
        case 'e': text_add(path, program_invocation_short_name); break;
        case '%': text_add(path, "%"); break;
        default: text_add_span(path, c - 1, 2); break;
        }
    }
    if (!has_pid) {
        text_add(path, ".");
        text_add_decimal(path, (uint64_t)getpid());
    }
}

static void write_all(int fd, const char *bytes, size_t size) {
    while (size) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno != EINTR) {
            return; /* a full disk or a closed stderr is no reason to trouble the host */
        }
        if (written > 0) {
            bytes += written;
            size -= (size_t)written;
        }
    }
}

static void write_line(int fd, const char *line) {
    char buffer[1024];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "==");
    text_add_decimal(&text, (uint64_t)getpid());
    text_add(&text, "== gilshim: ");
    text_add(&text, line);
    text_end(&text);
    buffer[text.length] = '\n'; /* in place of the 0 byte */
    write_all(fd, buffer, text.length + 1);
}

static bool is_file_path(void) {
    return options.log_path[0] && strcmp(options.log_path, "stderr") != 0 && strcmp(options.log_path, "stdout") != 0;
}

void report_open(void) {
    if (!is_file_path() || (log_file.fd >= 0 && log_file.pid == getpid())) {
        return;
    }
    int saved_errno = errno;
    char path[sizeof options.log_path + 300];
    struct text text = text_start(path, sizeof path);
    add_log_path(&text);
    text_end(&text);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0644);
    struct stat status;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        log_file.fd = fd;
        log_file.device = status.st_dev;
        log_file.inode = status.st_ino;
    } else {
        char line[sizeof path + 100];
        text = text_start(line, sizeof line);
        text_add(&text, "warning: can't write the log file \"");
        text_add(&text, path);
        text_add(&text, "\" (errno ");
        text_add_decimal(&text, (uint64_t)errno);
        text_add(&text, "); stderr is used");
        write_line(STDERR_FILENO, text_end(&text));
        log_file.fd = -1;
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
    if (!is_file_path()) {
        return STDERR_FILENO;
    }
    struct stat status;
    if (log_file.pid != getpid()) {
        report_open();
    }
    bool is_ours = log_file.fd >= 0 && fstat(log_file.fd, &status) == 0 && status.st_dev == log_file.device &&
                   status.st_ino == log_file.inode;
    return is_ours ? log_file.fd : STDERR_FILENO;
}

void report_line(const char *text) {
    int saved_errno = errno;
    write_line(destination(), text);
    errno = saved_errno;
}

static void add_caller(struct text *text, const void *caller) {
    struct elf_object object;
    if (!elf_find_by_address(caller, &object)) {
        text_add_hex(text, (uintptr_t)caller);
        return;
    }
    const char *slash = strrchr(object.name, '/');
    text_add(text, object.name[0] ? (slash ? slash + 1 : object.name) : program_invocation_short_name);
    size_t offset = 0;
    const char *function = elf_function_at(&object, caller, &offset);
    text_add(text, "!");
    if (function) {
        text_add(text, function);
    } else {
        offset = (uintptr_t)caller - object.bias;
    }
    text_add(text, "+");
    text_add_hex(text, offset);
}

/* Calling sites that were told already. Full: the rest is not told, which report_repair says once. */
enum { SITE_COUNT = 512 };
static uintptr_t told_sites[SITE_COUNT];

static bool first_time_at(enum repair repair, const void *caller) {
    uintptr_t site = ((uintptr_t)caller << 4) | (uintptr_t)repair;
    for (size_t i = 0, at = (uintptr_t)caller % SITE_COUNT; i < SITE_COUNT; i++, at = (at + 1) % SITE_COUNT) {
        uintptr_t expected = 0;
        if (__atomic_compare_exchange_n(&told_sites[at], &expected, site, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return true;
        }
        if (expected == site) {
            return false;
        }
    }
    return false;
}

/* Exported and a call of its own, so that a debugger finds it in a stripped library, too. */
__attribute__((visibility("default"), noinline)) void gilshim_first_report(const char *line) {
    __asm__ volatile("" : : "r"(line) : "memory");
}

static void show_debugger(const char *line) {
    static bool shown;
    if (!__atomic_exchange_n(&shown, true, __ATOMIC_RELAXED)) {
        gilshim_first_report(line);
    }
}

static const char *const without[] = {
#define REPAIR(name, text) text,
#include "repairs.def"
#undef REPAIR
};

void report_repair(enum repair repair, const void *caller) {
    journal_note(JOURNAL_REPAIR, JOURNAL_NO_CALL, (uint8_t)repair, NULL, caller);
    if (options.verbosity < 1 || !first_time_at(repair, caller)) {
        return;
    }
    int saved_errno = errno;
    char buffer[900];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "repaired ");
    text_add(&text, options_repair_name(repair));
    text_add(&text, ": ");
    text_add(&text, without[repair]);
    text_add(&text, "; thread ");
    text_add_decimal(&text, (uint64_t)syscall(SYS_gettid));
    if (caller) {
        text_add(&text, ", ");
        add_caller(&text, caller);
    }
    const char *line = text_end(&text);
    report_line(line);
    show_debugger(line);
    errno = saved_errno;
}
