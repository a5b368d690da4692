/* What the kernel says about a thread of this process (in gilshim-inspect: of the process that it looks at): whether it sleeps, in which system call, on which address, and
 * how much CPU time it has used. Read from its folder in /proc, without the thread's help and without disturbing it.
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
    uint64_t blocked; /* signals that it has blocked: bit (number - 1) */
    long call;        /* system call it is in; -1: running, or unknown */
    bool is_hidden;   /* the kernel hides the call: the process has changed its user, or has no /proc */
    uint64_t arguments[6];
    uintptr_t stack; /* its stack pointer; 0: not known */
    uintptr_t pc;
};

/* Looks at the thread. Returns false if there is no thread with this id. */
bool thread_look(pid_t tid, struct thread_look *look);

/* Looks only at the system call that the thread is in (call, arguments, stack, pc), for frequent use. Returns false if
 * that can't be read. */
bool thread_look_at_call(pid_t tid, struct thread_look *look);

/* Returns the CPU time that the thread has used so far, in nanoseconds, or 0 if it can't be told. Costs one system
 * call. */
uint64_t thread_cpu_time(pid_t tid);

/* Fills `tids` with the threads of this process, in the kernel's order. Returns how many there are, which may be more
 * than `capacity`, or 0 if /proc can't be read. */
size_t thread_list(pid_t *tids, size_t capacity);

/* Reads the thread's name from /proc, because a program may forbid prctl. The name is "" if it can't be read. Preserves
 * errno. Async-signal-safe. */
void thread_read_name(pid_t tid, char name[16]);

/* Sets the calling thread's name, at most 15 characters. Uses /proc, too. */
void thread_take_name(const char *name);

/* Returns true if both threads have the same user, groups and capabilities and are under the same restrictions. Returns
 * false also if that can't be read. */
bool thread_has_same_privileges(pid_t one, pid_t other);

/* Returns true if `tid` is a thread of this process. */
bool thread_exists(pid_t tid);

/* Returns the thread that calls itself `id` (gettid), as memory has it; 0: there is none. In gilshim-inspect the two
 * numbers differ if the process is in a pid namespace of its own. */
pid_t thread_with_own_id(pid_t id);

/* Reads a small file of the thread's folder in /proc ("status", "syscall", "comm") into a string, cut to `capacity` - 1
 * characters. Returns its length, or 0 if it can't be read. In gilshim-inspect it may come from a core file. */
size_t thread_read_file(pid_t tid, const char *name, char *buffer, size_t capacity);

/* glibc's descriptor of a thread, what pthread_self() points to: its size at most, and what it is aligned to at least. */
enum { THREAD_DESCRIPTOR_BYTES = 4096, THREAD_DESCRIPTOR_ALIGNMENT = 64 };

/* Returns where the descriptor has the thread's tid, or 0 if that is not known. */
size_t thread_place_of_tid(void);

/* Copies memory of this process that may no longer be mapped. Returns false if it is not. Checks first and copies then,
 * so it does not protect against another thread that unmaps the memory in between, unless thread_reads_by_file is in
 * effect. Without that, rt_sigprocmask is the only system call made. Preserves errno. Async-signal-safe. */
bool thread_read_memory(const void *from, void *to, size_t size);

/* Like thread_read_memory, but copies a string with its terminating 0, up to `capacity` - 1 characters of it, or up to
 * where memory ends. Returns false if no character could be read, or there is no room for one. */
bool thread_read_string(const char *from, char *to, size_t capacity);

/* From now on, the calling thread reads memory from /proc/self/mem where it can. Then no other thread can come in
 * between. */
void thread_reads_by_file(void);

/* What a thread sleeps in. */
enum thread_wait {
    THREAD_RUNS,         /* not in a system call */
    THREAD_UNKNOWN,      /* the kernel does not say */
    THREAD_IN_CALL,      /* some system call, or a futex of which nothing more is known */
    THREAD_WAITS_MUTEX,  /* pthread_mutex_lock; owner known */
    THREAD_WAITS_THREAD, /* pthread_join; owner is the thread that is joined */
};

/* Returns what the thread sleeps in, and stores the thread that it waits for in *owner (0: not known). */
enum thread_wait thread_waits_for(const struct thread_look *look, pid_t *owner);

/* Returns true if the thread sleeps in futex(2); the address is arguments[0]. */
bool thread_is_in_futex(const struct thread_look *look);

/* Adds the name of a system call: "futex", "read", "poll", or "system call 281". */
void thread_add_call(struct text *text, long call);
