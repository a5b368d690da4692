/* What the kernel says of a thread of this process: whether it sleeps, in which system call, on which address, how much
 * CPU time it has had. Read from /proc/self/task, without the thread's help and without disturbing it.
 *
 * No malloc, no locks, no cancellation points that a host could use. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/text.h"

struct thread_look {
    pid_t tid;
    char state;       /* R S D Z ... as in ps; 0: the thread is gone */
    char name[16];    /* of the OS thread (prctl PR_SET_NAME) */
    uint64_t blocked; /* signals that it has blocked: bit number - 1 */
    long call;        /* system call it is in; -1: running, or unknown */
    bool is_hidden;   /* the kernel does not say which: the process has changed its user, or has no /proc */
    uint64_t arguments[6];
    uintptr_t stack; /* its stack pointer; 0: not known */
    uintptr_t pc;
};

/* Looks at the thread. False if there is none of this id. */
bool thread_look(pid_t tid, struct thread_look *look);

/* Looks at no more than the system call it is in (call, arguments, stack, pc): for frequent looks. */
bool thread_look_at_call(pid_t tid, struct thread_look *look);

/* CPU time it has had so far, in nanoseconds; 0 if it can't be told. Costs one system call. */
uint64_t thread_cpu_time(pid_t tid);

/* Fills `tids` with the threads of this process, in the kernel's order; returns how many there are, which may be more
 * than `capacity`. 0: /proc can't be read. */
size_t thread_list(pid_t *tids, size_t capacity);

/* Its name, from /proc: prctl would be the program's own call to forbid. "" if it can't be read. Async-signal-safe. */
void thread_read_name(pid_t tid, char name[16]);

/* The calling thread's name from now on, at most 15 characters. By /proc, too. */
void thread_take_name(const char *name);

/* Whether two threads have the same user, groups and capabilities and are under the same restrictions. False, too, if that
 * can't be read. */
bool thread_has_same_privileges(pid_t one, pid_t other);

/* Whether `tid` is a thread of this process. */
bool thread_exists(pid_t tid);

/* Copies memory of this process that may not be mapped any more. False: it isn't. Asks first, and then copies: another
 * thread that unmaps it in between is not reckoned with. Makes rt_sigprocmask only. Async-signal-safe. */
bool thread_read_memory(const void *from, void *to, size_t size);

/* The same for a string: copies it with its end, up to `capacity` - 1 characters of it, or up to where memory ends. False:
 * not one could be read, or it is empty for lack of room. */
bool thread_read_string(const char *from, char *to, size_t capacity);

/* From now on this thread reads memory from /proc/self/mem where it can, and then nobody can come in between. */
void thread_reads_by_file(void);

/* What a thread sleeps in. */
enum thread_wait {
    THREAD_RUNS,         /* not in a system call */
    THREAD_UNKNOWN,      /* the kernel does not say */
    THREAD_IN_CALL,      /* some system call, or a futex that nothing more is known of */
    THREAD_WAITS_MUTEX,  /* pthread_mutex_lock; owner known */
    THREAD_WAITS_THREAD, /* pthread_join; owner is the thread that is joined */
};

/* Tells it, and the thread that is waited for in *owner (0: not known). */
enum thread_wait thread_waits_for(const struct thread_look *look, pid_t *owner);

/* Whether it sleeps in futex(2); the address is arguments[0]. */
bool thread_is_in_futex(const struct thread_look *look);

/* Adds "futex", "read", "poll", "system call 281". */
void thread_add_call(struct text *text, long call);
