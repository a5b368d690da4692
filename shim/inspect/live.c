#include "inspect/live.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inspect/refusal.h"
#include "inspect/regular_file.h"
#include "inspect/target.h"

static struct {
    pid_t pid;
    pid_t reader; /* the thread that memory is read of: the first that has not ended */
    int memory;   /* /proc/PID/mem, if memory is read from it; -1: not open */
    int witness;  /* the same file, opened at the beginning: it has nothing to read when that memory is gone */
    uintptr_t first_object;
} live = {.memory = -1, .witness = -1};

/* Opens a file of the process's folder. */
static int open_file(const char *name, int flags) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)live.pid, (int)live.reader, name);
    return open(path, flags | O_CLOEXEC);
}

static FILE *open_lines(const char *name) {
    int fd = open_file(name, O_RDONLY);
    FILE *lines = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !lines) {
        close(fd);
    }
    return lines;
}

/* Copies what follows "Field:\t" in the status file. Returns false if there is no such line. */
static bool read_status(pid_t tid, const char *field, char *value, size_t capacity) {
    char path[64], line[512];
    size_t length = strlen(field);
    bool is_found = false;
    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    FILE *lines = fopen(path, "re");
    while (lines && !is_found && fgets(line, sizeof line, lines)) {
        if (strncmp(line, field, length) == 0 && line[length] == ':') {
            const char *start = line + length + 1 + strspn(line + length + 1, "\t ");
            snprintf(value, capacity, "%.*s", (int)strcspn(start, "\n"), start);
            is_found = true;
        }
    }
    if (lines) {
        fclose(lines);
    }
    return is_found;
}

/* ---- what the target asks for ------------------------------------------------------------------------------------ */

static bool choose_reader(void);

static size_t read_memory(uintptr_t address, void *to, size_t size) {
    struct iovec local = {to, size}, remote = {(void *)address, size};
    ssize_t count = live.memory < 0 ? process_vm_readv(live.reader, &local, 1, &remote, 1, 0) : -1;
    if (count < 0 && errno == ESRCH && live.memory < 0 && choose_reader()) { /* that thread has ended, others go on */
        count = process_vm_readv(live.reader, &local, 1, &remote, 1, 0);
    }
    if (count < 0 &&
        (errno == ENOSYS || errno == EPERM || live.memory >= 0)) { /* a kernel or a sandbox without the call */
        live.memory = live.memory < 0 ? open_file("mem", O_RDONLY) : live.memory;
        count = live.memory < 0 ? -1 : pread(live.memory, to, size, (off_t)address);
    }
    return count > 0 ? (size_t)count : 0;
}

static size_t list_threads(pid_t *tids, size_t capacity) {
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int)live.pid);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') {
            continue;
        }
        if (count < capacity) {
            tids[count] = (pid_t)strtol(entry->d_name, NULL, 10);
        }
        count++;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

/* Undoes the kernel's escapes in a path: \012 is a newline. */
static void unescape(char *path) {
    char *to = path;
    for (const char *from = path; *from; to++) {
        if (strncmp(from, "\\012", 4) == 0) {
            *to = '\n';
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Reads "7f00-7f10 r-xp 00001000 08:01 1234   /lib/libc.so.6". The name points into the line. Returns false if it is not
 * understood. */
static bool parse_mapping(char *line, struct target_mapping *mapping) {
    char *at = line;
    mapping->start = strtoull(at, &at, 16);
    if (*at++ != '-') {
        return false;
    }
    mapping->end = strtoull(at, &at, 16);
    const char *flags = at + strspn(at, " ");
    mapping->is_executable = strlen(flags) > 4 && flags[2] == 'x';
    at = (char *)flags + strcspn(flags, " ");
    mapping->offset = strtoull(at, &at, 16);
    at += strspn(at, " ");
    at += strcspn(at, " "); /* device */
    mapping->is_file = strtoull(at, &at, 10) != 0;
    at += strspn(at, " ");
    at[strcspn(at, "\n")] = '\0';
    unescape(at);
    mapping->name = at;
    return mapping->end > mapping->start;
}

static void visit_mappings(void (*visit)(const struct target_mapping *mapping)) {
    FILE *lines = open_lines("maps");
    char *line = NULL;
    size_t capacity = 0;
    struct target_mapping mapping;
    while (lines && getline(&line, &capacity, lines) > 0) {
        if (parse_mapping(line, &mapping)) {
            visit(&mapping);
        }
    }
    free(line);
    if (lines) {
        fclose(lines);
    }
}

/* Through the process's own root, so that a container's files are found. A file that was deleted or replaced is still
 * there as map_files, but the kernel lets only the superuser open that. */
static int open_mapped(const struct target_mapping *mapping) {
    char name[64];
    snprintf(name, sizeof name, "map_files/%lx-%lx", (unsigned long)mapping->start, (unsigned long)mapping->end);
    int fd = regular_file_open(open_file(name, O_PATH));
    if (fd < 0 && mapping->name[0] == '/') {
        fd = regular_file_open_in(open_file("root", O_PATH | O_DIRECTORY), mapping->name);
    }
    if (fd < 0 && mapping->name[0] == '/') { /* after a mere chroot, the kernel tells paths as we see them */
        fd = regular_file_open_in(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), mapping->name);
    }
    return fd;
}

static size_t read_thread_file(pid_t tid, const char *name, char *buffer, size_t capacity) {
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", (int)live.pid, (int)tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t count = 1;
    while (fd >= 0 && length < capacity - 1 && (count = read(fd, buffer + length, capacity - 1 - length)) > 0) {
        length += (size_t)count;
    }
    if (fd >= 0) {
        close(fd);
    }
    buffer[length] = '\0';
    return length;
}

/* The list of robust mutexes is in the descriptor, and the kernel tells where it is. */
static uintptr_t find_descriptor(pid_t tid) {
    void *list = NULL;
    size_t size = 0;
    return syscall(SYS_get_robust_list, tid, &list, &size) == 0 ? (uintptr_t)list : 0;
}

static bool no_registers(pid_t tid, struct cfi_frame *frame) {
    (void)tid;
    (void)frame;
    return false;
}

static const struct target_source source = {
    .read = read_memory,
    .threads = list_threads,
    .mappings = visit_mappings,
    .open = open_mapped,
    .thread_file = read_thread_file,
    .descriptor = find_descriptor,
    .registers = no_registers,
};

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static int ptrace_scope(void) {
    char line[16];
    FILE *file = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    const char *read = file ? fgets(line, sizeof line, file) : NULL;
    if (file) {
        fclose(file);
    }
    return read ? (int)strtol(read, NULL, 10) : 0;
}

/* The kernel does not let us read its memory. */
static bool refuse_access(pid_t pid, char *reason, size_t capacity) {
    char uids[128] = "";
    read_status(pid, "Uid", uids, sizeof uids);
    long uid = strtol(uids, NULL, 10);
    int scope = ptrace_scope();
    if (geteuid() == 0) {
        return refuse(reason, capacity,
                      "process %d: not permitted, even as root: a container needs CAP_SYS_PTRACE for that (docker run "
                      "--cap-add SYS_PTRACE); or look at it from the host",
                      (int)pid);
    }
    if (uid != (long)geteuid()) {
        return refuse(reason, capacity,
                      "process %d: not permitted: it belongs to user %ld; run this as that user or as root", (int)pid,
                      uid);
    }
    if (scope) {
        return refuse(reason, capacity,
                      "process %d: not permitted: kernel.yama.ptrace_scope is %d here; run this as root%s", (int)pid,
                      scope, scope < 3 ? ", or set it to 0 (sysctl -w kernel.yama.ptrace_scope=0)" : "");
    }
    return refuse(
        reason, capacity,
        "process %d: not permitted: it has changed its user or forbids core dumps (prctl PR_SET_DUMPABLE); run this "
        "as root",
        (int)pid);
}

static bool has_ended(pid_t tid) {
    char state[32];
    return !read_status(tid, "State", state, sizeof state) || state[0] == 'Z' || state[0] == 'X';
}

/* Chooses the thread by which memory is read. The main thread may have ended before the others: it is a zombie then, and
 * has no memory. */
static bool choose_reader(void) {
    static pid_t tids[4096];
    size_t count = list_threads(tids, sizeof tids / sizeof tids[0]);
    live.reader = live.pid;
    for (size_t i = 0; i < count && i < sizeof tids / sizeof tids[0] && has_ended(live.reader); i++) {
        live.reader = tids[i];
    }
    return !has_ended(live.reader);
}

/* The first mapping of an ELF file: the executable, or with a position-independent one, any object. */
static uintptr_t first_object;

static void take_first_object(const struct target_mapping *mapping) {
    if (!first_object && mapping->is_file && mapping->offset == 0) {
        first_object = mapping->start;
    }
}

/* Returns false if it is a program for another kind of machine. */
static bool is_our_kind(char *reason, size_t capacity) {
    Elf64_Ehdr header;
#if defined(__x86_64__)
    static const struct {
        unsigned machine;
        const char *name;
    } ours = {EM_X86_64, "x86-64"};
#else
    static const struct {
        unsigned machine;
        const char *name;
    } ours = {EM_AARCH64, "AArch64"};
#endif
    first_object = 0;
    visit_mappings(take_first_object);
    if (!first_object || read_memory(first_object, &header, sizeof header) != sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
        return true; /* not known */
    }
    if (header.e_ident[EI_CLASS] != ELFCLASS64) {
        return refuse(reason, capacity, "process %d is a 32-bit process; this is for 64-bit processes", (int)live.pid);
    }
    return header.e_machine == ours.machine ||
           refuse(reason, capacity, "process %d is for another machine (ELF machine %u); this is for %s", (int)live.pid,
                  (unsigned)header.e_machine, ours.name);
}

static bool has_mapping;

static void note_mapping(const struct target_mapping *mapping) {
    has_mapping |= mapping->end > mapping->start;
}

bool live_open(pid_t pid, char *reason, size_t capacity) {
    char value[64];
    if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH)) {
        return refuse(reason, capacity, "process %d: no such process", (int)pid);
    }
    if (!read_status(pid, "Tgid", value, sizeof value)) {
        return refuse(reason, capacity,
                      access("/proc/self/status", R_OK) == 0
                          ? "process %d: /proc does not show it to this user; run this as root"
                          : "process %d can't be looked at: /proc is not mounted",
                      (int)pid);
    }
    live.pid = (pid_t)strtol(value, NULL, 10);
    if (!choose_reader()) {
        return refuse(reason, capacity, "process %d has ended: it is a zombie, which its parent has not waited for",
                      (int)live.pid);
    }
    int fd = open_file("maps", O_RDONLY);
    if (fd < 0) {
        return errno == EACCES || errno == EPERM ? refuse_access(live.pid, reason, capacity)
                                                 : refuse(reason, capacity, "process %d: no such process", (int)pid);
    }
    close(fd);
    has_mapping = false;
    visit_mappings(note_mapping);
    if (!has_mapping) {
        return refuse(reason, capacity, "process %d is a thread of the kernel, or is just ending", (int)live.pid);
    }
    char byte;
    first_object = 0;
    live.witness = open_file("mem", O_RDONLY);
    visit_mappings(take_first_object);
    live.first_object = first_object;
    if (first_object && read_memory(first_object, &byte, 1) != 1) {
        return errno == ESRCH ? refuse(reason, capacity, "process %d: no such process", (int)pid)
                              : refuse_access(live.pid, reason, capacity);
    }
    target_use(&source, live.pid);
    return is_our_kind(reason, capacity);
}

/* What was mapped when the file was opened stays what it is about: not what the process executes later, and not another
 * process with the same number. */
bool live_has_ended(char *reason, size_t capacity) {
    char byte;
    bool is_gone =
        live.witness >= 0 && live.first_object && pread(live.witness, &byte, 1, (off_t)live.first_object) == 0;
    if (is_gone) {
        refuse(reason, capacity, "process %d ended, or executed another program, while it was looked at",
               (int)live.pid);
    }
    return is_gone;
}

/* ---- the freezer ------------------------------------------------------------------------------------------------- */

/* Returns true if a file of a control group has a line that begins so. */
static bool group_says(const char *folder, const char *group, const char *file, const char *beginning) {
    char path[PATH_MAX], line[64];
    bool is_said = false;
    snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s", folder, group, file);
    FILE *lines = fopen(path, "re");
    while (lines && !is_said && fgets(line, sizeof line, lines)) {
        is_said = strncmp(line, beginning, strlen(beginning)) == 0;
    }
    if (lines) {
        fclose(lines);
    }
    return is_said;
}

/* "0::/system.slice/x.service" is the group in version 2, which is elsewhere if version 1 is there, too; "6:freezer:/x" the one
 * in version 1. Groups above count, too, in what the files say. */
bool live_is_frozen(void) {
    FILE *lines = live.pid ? open_lines("cgroup") : NULL;
    char line[PATH_MAX];
    bool is_frozen = false;
    while (lines && !is_frozen && fgets(line, sizeof line, lines)) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) {
            continue;
        }
        *group++ = '\0';
        if (!controllers[1]) {
            is_frozen = group_says("", group, "cgroup.events", "frozen 1") ||
                        group_says("unified", group, "cgroup.events", "frozen 1");
        } else if (strcmp(controllers + 1, "freezer") == 0) {
            is_frozen = group_says("freezer", group, "freezer.state", "FROZEN");
        }
    }
    if (lines) {
        fclose(lines);
    }
    return is_frozen;
}
