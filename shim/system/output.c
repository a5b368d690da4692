#include "system/output.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000, PIECE = 4096 }; /* a pipe takes PIPE_BUF bytes as one */

/* ---- signals ---------------------------------------------------------------------------------------------------- */

void output_guard_begin(struct output_guard *guard) {
    static const int numbers[] = {SIGPIPE, SIGXFSZ, SIGTTOU};
    sigset_t pending, writers;
    sigemptyset(&writers);
    sigemptyset(&guard->taken);
    sigpending(&pending);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaddset(&writers, numbers[i]);
        if (!sigismember(&pending, numbers[i])) {
            sigaddset(&guard->taken, numbers[i]);
        }
    }
    pthread_sigmask(SIG_BLOCK, &writers, &guard->before);
}

/* The kernel sends these signals to the thread, and a thread's own signals are taken before those of its process.
 * SIGTTOU is not sent while it is blocked, so one that is pending now is somebody else's. */
void output_guard_end(const struct output_guard *guard) {
    int saved_errno = errno;
    const struct timespec at_once = {0, 0};
    sigset_t taken = guard->taken;
    sigdelset(&taken, SIGTTOU);
    for (;;) {
        int number = sigtimedwait(&taken, NULL, &at_once);
        if (number > 0) {
            sigdelset(&taken, number); /* at most one of each is our doing */
        } else if (errno != EINTR) {
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &guard->before, NULL);
    errno = saved_errno;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Returns true if the descriptor takes something, now or before the patience is used up. */
static bool wait_until_ready(int fd, struct output_patience *patience) {
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 0) { /* the write reports an error */
        __atomic_store_n(&patience->used_ms, 0, __ATOMIC_RELAXED);
        return true;
    }
    int64_t start = now_ms();
    bool is_ready = false;
    for (;;) {
        int left = PATIENCE_MS - __atomic_load_n(&patience->used_ms, __ATOMIC_RELAXED) - (int)(now_ms() - start);
        if (left <= 0) {
            break;
        }
        int found = poll(&ready, 1, left);
        if (found != 0 && !(found < 0 && errno == EINTR)) {
            is_ready = true;
            break;
        }
    }
    __atomic_add_fetch(&patience->used_ms, (int)(now_ms() - start), __ATOMIC_RELAXED);
    return is_ready;
}

size_t output_write(int fd, const char *bytes, size_t size, struct output_patience *patience) {
    struct output_guard guard;
    int saved_errno = errno;
    size_t done = 0;
    output_guard_begin(&guard);
    while (done < size && wait_until_ready(fd, patience)) {
        ssize_t count = write(fd, bytes + done, size - done < PIECE ? size - done : PIECE);
        if (count < 0 && errno != EINTR) {
            break; /* EAGAIN as well: another writer was faster, and we do not wait a second time */
        }
        done += count > 0 ? (size_t)count : 0;
    }
    output_guard_end(&guard);
    errno = saved_errno;
    return done;
}

size_t output_write_at(int fd, const char *bytes, size_t size, off_t offset) {
    struct output_guard guard;
    int error = errno;
    size_t done = 0;
    output_guard_begin(&guard);
    while (done < size) {
        ssize_t count = pwrite(fd, bytes + done, size - done, offset + (off_t)done);
        if (count < 0 && errno != EINTR) {
            error = errno;
            break;
        }
        done += count > 0 ? (size_t)count : 0;
    }
    output_guard_end(&guard);
    errno = error;
    return done;
}
