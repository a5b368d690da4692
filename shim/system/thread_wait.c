/* What a thread sleeps in, by the arguments of its system call. */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "system/thread.h"

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
        !thread_with_own_id(mutex.owner)) {
        return 0;
    }
    unsigned operation = (unsigned)look->arguments[1] & ~(unsigned)(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
    if (operation == FUTEX_LOCK_PI || operation == 13 /* FUTEX_LOCK_PI2, Linux 5.14 */) {
        return thread_with_own_id(mutex.owner);
    }
    bool is_normal = mutex.lock == 2 && look->arguments[2] == 2;
    bool is_robust = (mutex.lock & FUTEX_TID_MASK) == mutex.owner && (mutex.lock & (int)FUTEX_WAITERS);
    return is_normal || is_robust ? thread_with_own_id(mutex.owner) : 0;
}

/* Returns the thread whose descriptor the word lies in, or 0. On x86-64 the descriptor begins with its own address, which is also
 * its third word (tcbhead_t). */
static pid_t thread_around(uintptr_t word) {
    size_t place = thread_place_of_tid();
    uintptr_t at = word & ~(uintptr_t)(THREAD_DESCRIPTOR_ALIGNMENT - 1);
    for (uintptr_t end = at - THREAD_DESCRIPTOR_BYTES; place && at != end; at -= THREAD_DESCRIPTOR_ALIGNMENT) {
        pid_t tid;
#ifdef __x86_64__
        uintptr_t head[3];
        if (!thread_read_memory((const void *)at, head, sizeof head) || head[0] != at || head[2] != at) {
            continue;
        }
#endif
        if (thread_read_memory((const char *)at + place, &tid, sizeof tid) && thread_with_own_id(tid)) {
            return thread_with_own_id(tid);
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
    pid_t tid = word == expected ? thread_with_own_id(expected) : 0;
    if (tid && tid != look->tid) {
        return tid;
    }
    tid = thread_around(look->arguments[0]);
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
