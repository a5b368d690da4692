#include "system/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/ticks.h"

static const uint64_t limit_ns = 3000000000u;

/* Uses the system call. We export signal and sigaction (start/fatal_signals.c), and these may ask ld.so for the real
 * ones. ld.so's lock may be held by a thread that the child does not have. */
static void set_default(int number) {
    static const unsigned long action[8]; /* all 0: SIG_DFL, no flags, an empty mask */
    syscall(SYS_rt_sigaction, number, action, NULL, _NSIG / 8);
}

_Noreturn static void run_child(void (*body)(int fd, void *argument), void *argument, int fd) {
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTERM, SIGPIPE};
    prctl(PR_SET_DUMPABLE, 0); /* no core file */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) {
        set_default(deadly[i]);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    body(fd, argument);
    for (;;) {
        syscall(SYS_exit_group, 0);
    }
}

/* Reads what the child writes, until the child ends or its time is up. */
static long read_child(int fd, char *buffer, size_t capacity) {
    uint64_t end = ticks_monotonic() + limit_ns;
    size_t length = 0;
    while (length < capacity) {
        struct pollfd ready = {fd, POLLIN, 0};
        uint64_t now = ticks_monotonic();
        if (now >= end || poll(&ready, 1, (int)((end - now) / 1000000) + 1) <= 0) {
            break;
        }
        ssize_t count = read(fd, buffer + length, capacity - length);
        if (count <= 0) {
            break;
        }
        length += (size_t)count;
    }
    return (long)length;
}

long snapshot_run(void (*body)(int fd, void *argument), void *argument, char *buffer, size_t capacity) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    /* The child has no exit signal: its death sends no SIGCHLD, and waitpid without __WALL does not see it. */
    long child = syscall(SYS_clone, 0UL, NULL, NULL, NULL, 0UL);
    if (child == 0) {
        run_child(body, argument, ends[1]);
    }
    close(ends[1]);
    long length = child > 0 ? read_child(ends[0], buffer, capacity) : -1;
    close(ends[0]);
    if (child > 0) {
        int status;
        kill((pid_t)child, SIGKILL);
        while (waitpid((pid_t)child, &status, __WALL) < 0 && errno == EINTR) {
        }
    }
    return length;
}
