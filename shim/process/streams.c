#include "process/streams.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "system/dlsym_hook.h"

/* Element 0 is not used. Written by the constructor and by whoever puts another file there. A reader that comes while
 * it is being written takes the file for a stranger's. */
static struct stream {
    bool is_open;
    dev_t device;
    ino_t inode;
} streams[3];
static pid_t process; /* a child of vfork has this memory and another pid, and is none of our business */

static void note(int fd) {
    struct stat status;
    bool is_open = fstat(fd, &status) == 0;
    __atomic_store_n(&streams[fd].is_open, false, __ATOMIC_RELEASE);
    if (is_open) {
        __atomic_store_n(&streams[fd].device, status.st_dev, __ATOMIC_RELAXED);
        __atomic_store_n(&streams[fd].inode, status.st_ino, __ATOMIC_RELAXED);
        __atomic_store_n(&streams[fd].is_open, true, __ATOMIC_RELEASE);
    }
}

bool streams_has(int fd) {
    struct stat status;
    return __atomic_load_n(&streams[fd].is_open, __ATOMIC_ACQUIRE) && fstat(fd, &status) == 0 &&
           status.st_dev == __atomic_load_n(&streams[fd].device, __ATOMIC_RELAXED) &&
           status.st_ino == __atomic_load_n(&streams[fd].inode, __ATOMIC_RELAXED);
}

/* ---- the program's own doing ------------------------------------------------------------------------------------ */

static struct {
    int (*dup2)(int from, int to);
    int (*dup3)(int from, int to, int flags);
    FILE *(*freopen)(const char *path, const char *mode, FILE *stream);
    FILE *(*freopen64)(const char *path, const char *mode, FILE *stream);
} libc;

/* Not instrumented: the sanitizers' runtimes interpose these functions, and call them before they can check
 * anything. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))
#define EXPORTED EARLY __attribute__((visibility("default")))

EARLY static void find(void **place, const char *name) {
    if (!__atomic_load_n(place, __ATOMIC_RELAXED)) {
        __atomic_store_n(place, libc_real_dlsym(RTLD_NEXT, name), __ATOMIC_RELAXED);
    }
}

static void after_fork_in_child(void) {
    process = getpid();
}

void streams_start(void) {
    find((void **)&libc.dup2, "dup2");
    find((void **)&libc.dup3, "dup3");
    process = getpid();
    pthread_atfork(NULL, NULL, after_fork_in_child);
    note(STDOUT_FILENO);
    note(STDERR_FILENO);
}

EARLY static void follow(int fd) {
    if ((fd == STDOUT_FILENO || fd == STDERR_FILENO) && process && process == getpid()) {
        int saved_errno = errno;
        note(fd);
        errno = saved_errno;
    }
}

/* The headers name parameters in their own way. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

/* Both may be called in a signal handler and in a child of vfork, where nothing can be looked up. The constructor looks
 * up the real functions; before that, the system call is made directly. */
EXPORTED int dup3(int from, int to, int flags) {
    int fd = libc.dup3 ? libc.dup3(from, to, flags) : (int)syscall(SYS_dup3, from, to, flags);
    follow(fd);
    return fd;
}

EXPORTED int dup2(int from, int to) {
    if (!libc.dup2 && from == to) {
        return fcntl(from, F_GETFD) < 0 ? -1 : to; /* dup3 refuses this */
    }
    int fd = libc.dup2 ? libc.dup2(from, to) : (int)syscall(SYS_dup3, from, to, 0);
    follow(fd);
    return fd;
}

EXPORTED FILE *freopen(const char *path, const char *mode, FILE *stream) {
    find((void **)&libc.freopen, "freopen");
    FILE *result = libc.freopen(path, mode, stream);
    if (result) {
        follow(fileno(result));
    }
    return result;
}

EXPORTED FILE *freopen64(const char *path, const char *mode, FILE *stream) {
    find((void **)&libc.freopen64, "freopen64");
    FILE *result = libc.freopen64(path, mode, stream);
    if (result) {
        follow(fileno(result));
    }
    return result;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
