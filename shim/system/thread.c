#include "system/thread.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- /proc ------------------------------------------------------------------------------------------------------ */

/* Opens a file of /proc/self/task/TID. */
static int open_file(pid_t tid, const char *name, int mode) {
    char path[64];
    struct text text = text_start(path, sizeof path);
    text_add(&text, "/proc/self/task/");
    text_add_decimal(&text, (uint64_t)tid);
    text_add(&text, "/");
    text_add(&text, name);
    return open(text_end(&text), mode | O_CLOEXEC);
}

/* Reads a small file of /proc/self/task/TID into a string. Returns its length, or 0 if it can't be read. */
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

/* Uses the kernel's clock id of a thread (linux/include/linux/posix-timers.h), which pthread_getcpuclockid makes,
 * too. */
uint64_t thread_cpu_time(pid_t tid) {
    struct timespec time;
    clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
    return clock_gettime(clock, &time) == 0 ? (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec : 0;
}

size_t thread_list(pid_t *tids, size_t capacity) {
    char buffer[4096] __attribute__((aligned(8)));
    size_t count = 0;
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

bool thread_exists(pid_t tid) {
    return tid > 0 && (syscall(SYS_tgkill, getpid(), tid, 0) == 0 || errno == EPERM);
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static __thread bool reads_by_file __attribute__((tls_model("initial-exec")));

void thread_reads_by_file(void) {
    reads_by_file = true;
}

/* The kernel reads the first eight bytes before it finds that there is no such operation. Every program makes this
 * system call, for instance in abort(3), so no sandbox forbids it. */
static bool is_readable(uintptr_t word) {
    int no_operation = ~0;
    return syscall(SYS_rt_sigprocmask, no_operation, word, NULL, (size_t)8) != 0 && errno != EFAULT;
}

__attribute__((no_sanitize("address", "undefined"))) static bool read_probed(const void *from, void *to, size_t size) {
    enum { PAGE = 4096 }; /* the size of a page, or of a part of one */
    uintptr_t start = (uintptr_t)from & ~(uintptr_t)7;
    uintptr_t last = ((uintptr_t)from + size - 1) & ~(uintptr_t)7;
    for (uintptr_t at = start; at <= last; at = (at | (PAGE - 1)) + 1) {
        if (!is_readable(at)) {
            return false;
        }
    }
    /* Does not use memcpy, which AddressSanitizer would watch: the memory may belong to anybody. */
    for (size_t i = 0; i < size; i++) {
        ((volatile unsigned char *)to)[i] = ((const volatile unsigned char *)from)[i];
    }
    return true;
}

/* Does not use process_vm_readv, because many sandboxes end a process for it. */
bool thread_read_memory(const void *from, void *to, size_t size) {
    int saved_errno = errno;
    bool is_read = false;
    int fd = from && size && reads_by_file ? open("/proc/self/mem", O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        is_read = pread(fd, to, size, (off_t)(uintptr_t)from) == (ssize_t)size;
        close(fd);
    } else if (from && size) {
        is_read = read_probed(from, to, size);
    }
    errno = saved_errno;
    return is_read;
}

__attribute__((no_sanitize("address", "undefined"))) static char byte_at(uintptr_t at) {
    return *(const volatile char *)at;
}

/* Reads byte by byte where it reads in place: the rest of the page after the string may be unallocated, and valgrind
 * would report that. */
bool thread_read_string(const char *from, char *to, size_t capacity) {
    enum { PAGE = 4096, PIECE = 64 };
    int saved_errno = errno;
    size_t length = 0;
    bool is_end = false;
    while (!is_end && length < capacity - 1) {
        uintptr_t at = (uintptr_t)from + length;
        size_t room = capacity - 1 - length;
        size_t size = reads_by_file ? PIECE - at % PIECE : 1; /* never beyond the end of a page */
        size = size < room ? size : room;
        if (reads_by_file) {
            if (!thread_read_memory((const void *)at, to + length, size)) {
                break;
            }
        } else if ((length == 0 || at % PAGE == 0) && !is_readable(at & ~(uintptr_t)7)) {
            break;
        } else {
            to[length] = byte_at(at);
        }
        is_end = memchr(to + length, '\0', size) != NULL;
        length += size;
    }
    if (!is_end) {
        to[length] = '\0';
    }
    errno = saved_errno;
    return length > 0;
}

/* ---- what it waits for ------------------------------------------------------------------------------------------ */

bool thread_is_in_futex(const struct thread_look *look) {
    return look->call == SYS_futex;
}

/* Returns the owner of the mutex that the thread waits for, or 0. The futex is taken for the word of a glibc
 * pthread_mutex_t ({ int lock; unsigned count; int owner; ... }, the same on every 64-bit architecture since 2.0) only
 * if the owner's field names a thread of this process. The word must also have the value of a contended lock, unless
 * the operation is FUTEX_LOCK_PI or FUTEX_LOCK_PI2. */
static pid_t mutex_owner(const struct thread_look *look) {
    struct {
        int32_t lock;
        uint32_t count;
        int32_t owner;
    } mutex;
    if (!thread_read_memory((const void *)look->arguments[0], &mutex, sizeof mutex) || mutex.owner <= 0 ||
        !thread_exists(mutex.owner)) {
        return 0;
    }
    unsigned operation = (unsigned)look->arguments[1] & ~(unsigned)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    if (operation == FUTEX_LOCK_PI || operation == 13 /* FUTEX_LOCK_PI2, Linux 5.14 */) {
        return mutex.owner;
    }
    bool is_normal = mutex.lock == 2 && look->arguments[2] == 2;
    bool is_robust = (mutex.lock & FUTEX_TID_MASK) == mutex.owner && (mutex.lock & (int)FUTEX_WAITERS);
    return is_normal || is_robust ? mutex.owner : 0;
}

/* glibc's descriptor of a thread, what pthread_self() points to: its size at most, and what it is aligned to at least. */
enum { DESCRIPTOR_BYTES = 4096, DESCRIPTOR_ALIGNMENT = 64 };

/* Where the descriptor has the thread's tid: found in the calling thread's own. 0: not found. */
static size_t place_of_tid(void) {
    pid_t own = (pid_t)syscall(SYS_gettid), found;
    for (size_t at = 0; at < DESCRIPTOR_BYTES / 4; at += sizeof found) {
        if (thread_read_memory((const char *)pthread_self() + at, &found, sizeof found) && found == own) {
            return at;
        }
    }
    return 0;
}

/* Returns the thread whose descriptor the word lies in, or 0. On x86-64 the descriptor begins with its own address, which is also
 * its third word (tcbhead_t). */
static pid_t thread_around(uintptr_t word) {
    size_t place = place_of_tid();
    uintptr_t at = word & ~(uintptr_t)(DESCRIPTOR_ALIGNMENT - 1);
    for (uintptr_t end = at - DESCRIPTOR_BYTES; place && at != end; at -= DESCRIPTOR_ALIGNMENT) {
        pid_t tid;
#ifdef __x86_64__
        uintptr_t head[3];
        if (!thread_read_memory((const void *)at, head, sizeof head) || head[0] != at || head[2] != at) {
            continue;
        }
#endif
        if (thread_read_memory((const char *)at + place, &tid, sizeof tid) && thread_exists(tid)) {
            return tid;
        }
    }
    return 0;
}

/* Returns the thread that this one joins, or 0. pthread_join waits on a futex that is shared with the kernel, so without the
 * private flag, and that lies in the descriptor of the thread it joins: its tid, which the kernel clears, up to glibc 2.41;
 * in 2.43 a word of another meaning. */
static pid_t joined_thread(const struct thread_look *look) {
    int32_t word;
    pid_t expected = (pid_t)look->arguments[2];
    if ((look->arguments[1] & FUTEX_PRIVATE_FLAG) ||
        !thread_read_memory((const void *)look->arguments[0], &word, sizeof word)) {
        return 0;
    }
    if (word == expected && expected != look->tid && thread_exists(expected)) {
        return expected;
    }
    pid_t tid = thread_around(look->arguments[0]);
    return tid != look->tid ? tid : 0;
}

enum thread_wait thread_waits_for(const struct thread_look *look, pid_t *owner) {
    *owner = 0;
    if (look->is_hidden) {
        return THREAD_UNKNOWN;
    }
    if (look->call < 0) {
        return THREAD_RUNS;
    }
    if (thread_is_in_futex(look)) {
        *owner = joined_thread(look);
        if (*owner) {
            return THREAD_WAITS_THREAD;
        }
        *owner = mutex_owner(look);
        if (*owner) {
            return THREAD_WAITS_MUTEX;
        }
    }
    return THREAD_IN_CALL;
}

static const struct {
    long number;
    const char *name;
} calls[] = {
    {SYS_futex, "futex"},
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_flock, "flock"},
    {SYS_fcntl, "fcntl"},
    {SYS_openat, "openat"},
    {SYS_ioctl, "ioctl"},
    {SYS_accept4, "accept4"},
    {SYS_connect, "connect"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_io_getevents, "io_getevents"},
    {SYS_semop, "semop"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_fsync, "fsync"},
#ifdef SYS_poll
    {SYS_poll, "poll"},
    {SYS_select, "select"},
    {SYS_epoll_wait, "epoll_wait"},
    {SYS_pause, "pause"},
    {SYS_accept, "accept"},
    {SYS_open, "open"},
#endif
};

void thread_add_call(struct text *text, long call) {
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (calls[i].number == call) {
            text_add(text, calls[i].name);
            return;
        }
    }
    text_add(text, "system call ");
    text_add_decimal(text, (uint64_t)call);
}
