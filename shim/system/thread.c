#include "system/thread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- its files in /proc -------------------------------------------------------------------------------------------- */

/* Returns what follows `name` ("Name:\t") in a status file, or "" if there is no such line. */
static const char *field(const char *status, const char *name) {
    const char *at = strstr(status, name);
    return at ? at + strlen(name) : "";
}

/* Reads the file "syscall": "202 0x7f.. 0x80 0x2 0x0 0x0 0x0 SP PC", "-1 SP PC" in an exception, or "running". */
static bool read_call(pid_t tid, struct thread_look *look) {
    char line[256];
    look->call = -1;
    if (!thread_read_file(tid, "syscall", line, sizeof line)) {
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
    if (!thread_read_file(tid, "status", status, sizeof status)) {
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

void thread_read_name(pid_t tid, char name[16]) {
    int saved_errno = errno;
    size_t length = thread_read_file(tid, "comm", name, 16);
    if (length && name[length - 1] == '\n') {
        name[length - 1] = '\0';
    }
    errno = saved_errno;
}

bool thread_has_same_privileges(pid_t one, pid_t other) {
    static const char *const fields[] = {
        "\nUid:",    "\nGid:",    "\nGroups:",     "\nCapInh:",  "\nCapPrm:",         "\nCapEff:",
        "\nCapBnd:", "\nCapAmb:", "\nNoNewPrivs:", "\nSeccomp:", "\nSeccomp_filters:"};
    char first[4096], second[4096];
    if (!thread_read_file(one, "status", first, sizeof first) ||
        !thread_read_file(other, "status", second, sizeof second)) {
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
