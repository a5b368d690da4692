#include "system/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- /proc ------------------------------------------------------------------------------------------------------ */

/* Opens a file of the thread's folder in /proc. */
static int open_file(pid_t tid, const char *name, int mode) {
    char path[64];
    struct text text = text_start(path, sizeof path);
    text_add(&text, thread_folder());
    text_add(&text, "/");
    text_add_decimal(&text, (uint64_t)tid);
    text_add(&text, "/");
    text_add(&text, name);
    return open(text_end(&text), mode | O_CLOEXEC);
}

/* Reads a small file of the thread's folder into a string. Returns its length, or 0 if it can't be read. */
static size_t read_file(pid_t tid, const char *name, char *buffer, size_t capacity) {
    int fd = open_file(tid, name, O_RDONLY);
    if (fd < 0) {
        buffer[0] = '\0';
        return 0;
    }
    size_t length = 0;
    ssize_t count;
    while (length < capacity - 1 && (count = read(fd, buffer + length, capacity - 1 - length)) > 0) {
        length += (size_t)count;
    }
    close(fd);
    buffer[length] = '\0';
    return length;
}

/* Returns what follows `name` ("Name:\t") in a status file, or "" if there is no such line. */
static const char *field(const char *status, const char *name) {
    const char *at = strstr(status, name);
    return at ? at + strlen(name) : "";
}

/* Reads the file "syscall": "202 0x7f.. 0x80 0x2 0x0 0x0 0x0 SP PC", "-1 SP PC" in an exception, or "running". */
static bool read_call(pid_t tid, struct thread_look *look) {
    char line[256];
    look->call = -1;
    if (!read_file(tid, "syscall", line, sizeof line)) {
        look->is_hidden = true;
        return false;
    }
    if (line[0] == 'r') {
        return true;
    }
    char *rest = line;
    look->call = strtol(rest, &rest, 10);
    for (int i = 0; i < 6 && look->call >= 0; i++) {
        look->arguments[i] = strtoull(rest, &rest, 16);
    }
    look->stack = strtoull(rest, &rest, 16);
    look->pc = strtoull(rest, &rest, 16);
    return true;
}

bool thread_look_at_call(pid_t tid, struct thread_look *look) {
    memset(look, 0, sizeof *look);
    look->tid = tid;
    return read_call(tid, look);
}

bool thread_look(pid_t tid, struct thread_look *look) {
    char status[4096];
    memset(look, 0, sizeof *look);
    look->tid = tid;
    look->call = -1;
    if (!read_file(tid, "status", status, sizeof status)) {
        return false;
    }
    const char *name = field(status, "Name:\t");
    size_t length = strcspn(name, "\n");
    memcpy(look->name, name, length < sizeof look->name ? length : sizeof look->name - 1);
    look->state = field(status, "\nState:\t")[0];
    look->blocked = strtoull(field(status, "\nSigBlk:\t"), NULL, 16);
    read_call(tid, look);
    return true;
}

size_t thread_list(pid_t *tids, size_t capacity) {
    char buffer[4096] __attribute__((aligned(8)));
    size_t count = 0;
    int fd = open(thread_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    long size;
    if (fd < 0) {
        return 0;
    }
    while ((size = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            at += entry->d_reclen;
            if (entry->d_name[0] < '1' || entry->d_name[0] > '9') {
                continue;
            }
            if (count < capacity) {
                tids[count] = (pid_t)strtol(entry->d_name, NULL, 10);
            }
            count++;
        }
    }
    close(fd);
    return count;
}

void thread_read_name(pid_t tid, char name[16]) {
    int saved_errno = errno;
    size_t length = read_file(tid, "comm", name, 16);
    if (length && name[length - 1] == '\n') {
        name[length - 1] = '\0';
    }
    errno = saved_errno;
}

void thread_take_name(const char *name) {
    int fd = open_file((pid_t)syscall(SYS_gettid), "comm", O_WRONLY);
    if (fd >= 0) {
        ssize_t unused = write(fd, name, strlen(name));
        (void)unused;
        close(fd);
    }
}

bool thread_has_same_privileges(pid_t one, pid_t other) {
    static const char *const fields[] = {
        "\nUid:",    "\nGid:",    "\nGroups:",     "\nCapInh:",  "\nCapPrm:",         "\nCapEff:",
        "\nCapBnd:", "\nCapAmb:", "\nNoNewPrivs:", "\nSeccomp:", "\nSeccomp_filters:"};
    char first[4096], second[4096];
    if (!read_file(one, "status", first, sizeof first) || !read_file(other, "status", second, sizeof second)) {
        return false;
    }
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        const char *a = field(first, fields[i]), *b = field(second, fields[i]);
        size_t length = strcspn(a, "\n");
        if (length != strcspn(b, "\n") || memcmp(a, b, length) != 0) {
            return false;
        }
    }
    return true;
}
