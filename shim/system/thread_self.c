/* The threads and the memory of this process. gilshim-inspect has another implementation, for those of another process
 * (inspect/threads.c). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "system/thread.h"

static const char folder[] = "/proc/self/task";

/* ---- its threads ------------------------------------------------------------------------------------------------ */

/* Opens a file of the thread's folder in /proc. */
static int open_file(pid_t tid, const char *name, int mode) {
    char path[64];
    struct text text = text_start(path, sizeof path);
    text_add(&text, folder);
    text_add(&text, "/");
    text_add_decimal(&text, (uint64_t)tid);
    text_add(&text, "/");
    text_add(&text, name);
    return open(text_end(&text), mode | O_CLOEXEC);
}

size_t thread_read_file(pid_t tid, const char *name, char *buffer, size_t capacity) {
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

size_t thread_list(pid_t *tids, size_t capacity) {
    char buffer[4096] __attribute__((aligned(8)));
    size_t count = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

void thread_take_name(const char *name) {
    int fd = open_file((pid_t)syscall(SYS_gettid), "comm", O_WRONLY);
    if (fd >= 0) {
        ssize_t unused = write(fd, name, strlen(name));
        (void)unused;
        close(fd);
    }
}

/* Uses the kernel's clock id of a thread (linux/include/linux/posix-timers.h), which pthread_getcpuclockid makes,
 * too. */
uint64_t thread_cpu_time(pid_t tid) {
    struct timespec time;
    clockid_t clock = (clockid_t)(~(unsigned)tid << 3 | 6);
    return clock_gettime(clock, &time) == 0 ? (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec : 0;
}

bool thread_exists(pid_t tid) {
    return tid > 0 && (syscall(SYS_tgkill, getpid(), tid, 0) == 0 || errno == EPERM);
}

pid_t thread_with_own_id(pid_t id) {
    return thread_exists(id) ? id : 0;
}

size_t thread_place_of_tid(void) {
    pid_t own = (pid_t)syscall(SYS_gettid), found;
    for (size_t at = 0; at < THREAD_DESCRIPTOR_BYTES / 4; at += sizeof found) {
        if (thread_read_memory((const char *)pthread_self() + at, &found, sizeof found) && found == own) {
            return at;
        }
    }
    return 0;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static __thread bool reads_by_file __attribute__((tls_model("initial-exec")));

void thread_reads_by_file(void) {
    reads_by_file = true;
}

/* Whether the byte at `at` can be read. `from` is where the reading began, and all up to `at` can be read.
 *
 * The kernel reads eight bytes before it finds that there is no such operation. Every program makes this system call, for
 * instance in abort(3), so no sandbox forbids it. At the start of a further page the eight end with that page's first
 * byte: valgrind reports what lies behind an allocated block, and no more of the page may belong to it. */
static bool is_readable(uintptr_t at, const void *from) {
    int no_operation = ~0;
    uintptr_t eight = at == (uintptr_t)from ? at & ~(uintptr_t)7 : at - 7;
    return syscall(SYS_rt_sigprocmask, no_operation, eight, NULL, (size_t)8) != 0 && errno != EFAULT;
}

__attribute__((no_sanitize("address", "thread", "undefined"))) static bool read_probed(const void *from, void *to,
                                                                                       size_t size) {
    enum { PAGE = 4096 }; /* the size of a page, or of a part of one */
    uintptr_t start = (uintptr_t)from, end = start + size;
    if (end < start) {
        return false;
    }
    for (uintptr_t at = start; at < end; at = (at | (PAGE - 1)) + 1) {
        if (!is_readable(at, from)) {
            return false;
        }
    }
    /* Does not use memcpy, which the sanitizers would watch: the memory may belong to anybody. */
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

__attribute__((no_sanitize("address", "thread", "undefined"))) static char byte_at(uintptr_t at) {
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
        } else if ((length == 0 || at % PAGE == 0) && !is_readable(at, from)) {
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
