#include "inspect/limited.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PREFIX "gilshim-inspect: "

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- the child --------------------------------------------------------------------------------------------------- */

/* A file that is mapped here was cut, or the target has what no program should have. */
static const char *const not_understood =
    PREFIX "gave up: what was read of this process can't be understood (or a file of it was just changed)\n";
static int failure_status;

static void cannot_go_on(int number) {
    (void)number;
    ssize_t unused = write(STDERR_FILENO, not_understood, strlen(not_understood));
    (void)unused;
    _exit(failure_status);
}

static void catch_faults(void) {
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = cannot_go_on, .sa_flags = SA_ONSTACK};
    sigaltstack(&other, NULL);
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

__attribute__((noreturn)) static void run_child(int output, pid_t parent, int (*work)(void *), void *argument) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || dup2(output, STDOUT_FILENO) < 0) {
        _exit(failure_status);
    }
    close(output);
    catch_faults();
    _exit(work(argument));
}

/* ---- the parent -------------------------------------------------------------------------------------------------- */

/* Returns 0, or the errno of the write that failed. */
static int copy_out(const char *bytes, size_t size) {
    while (size) {
        ssize_t count = write(STDOUT_FILENO, bytes, size);
        if (count < 0 && errno == EAGAIN) { /* whoever gave it to us has made it non-blocking */
            struct pollfd room = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&room, 1, 1000);
        } else if (count < 0 && errno != EINTR) {
            return errno;
        } else if (count > 0) {
            bytes += count;
            size -= (size_t)count;
        }
    }
    return 0;
}

static int give_up(pid_t child, int failed, const char *reason, const char *detail) {
    kill(child, SIGKILL);
    fprintf(stderr, PREFIX "%s%s\n", reason, detail);
    return failed;
}

/* Returns how much memory the child has in use, with the pages of files: those of a file system in memory (tmpfs) are made by
 * reading the holes of a file there, and stay. 0: not known. */
static size_t memory_of(pid_t child) {
    char path[32], line[128];
    unsigned long pages = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)child);
    FILE *file = fopen(path, "re");
    const char *second = file && fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    pages = second ? strtoul(second, NULL, 10) : 0;
    if (file) {
        fclose(file);
    }
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

struct limits {
    uint64_t time;
    size_t memory;
};

/* Copies all that the child writes. Returns false, with *reason, if that took too long or too much memory, or could not be
 * written. */
static bool copy_all(pid_t child, int input, struct limits limits, const char **reason, const char **detail) {
    enum { PERIOD_MS = 50 };
    static char bytes[65536];
    uint64_t end = now() + limits.time;
    for (;;) {
        uint64_t then = now();
        struct pollfd some = {.fd = input, .events = POLLIN};
        if (then >= end) {
            *reason = "gave up: it takes too long to read this process";
            return false;
        }
        if (memory_of(child) > limits.memory) {
            *reason = "gave up: it takes too much memory to read this process";
            return false;
        }
        uint64_t left = (end - then) / 1000000u + 1;
        if (poll(&some, 1, left < PERIOD_MS ? (int)left : PERIOD_MS) <= 0) {
            continue;
        }
        ssize_t count = read(input, bytes, sizeof bytes);
        if (count == 0) {
            return true;
        }
        then = now();
        int error = count > 0 ? copy_out(bytes, (size_t)count) : 0;
        end += now() - then;
        if (error) {
            *reason = "can't write: ";
            *detail = strerror(error);
            return false;
        }
    }
}

int limited_run(uint64_t limit, size_t memory, int (*work)(void *argument), void *argument, int failed) {
    int ends[2], status;
    const char *reason = "", *detail = "";
    pid_t self = getpid();
    failure_status = failed;
    fflush(NULL);
    signal(SIGCHLD, SIG_DFL); /* if it is ignored, nobody is told how the child ended */
    pid_t child = pipe(ends) == 0 ? fork() : -1;
    if (child < 0) {
        fprintf(stderr, PREFIX "can't start: %s\n", strerror(errno));
        return failed;
    }
    if (child == 0) {
        close(ends[0]);
        run_child(ends[1], self, work, argument);
    }
    close(ends[1]);
    bool is_done = copy_all(child, ends[0], (struct limits){limit, memory}, &reason, &detail);
    close(ends[0]);
    if (!is_done) {
        return give_up(child, failed, reason, detail);
    }
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return failed;
        }
    }
    if (WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    return give_up(child, failed,
                   "gave up: the part that reads this process was killed by a signal: ", strsignal(WTERMSIG(status)));
}
