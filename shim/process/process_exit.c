#include "process/process_exit.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "process/background.h"
#include "system/aside.h"

enum { PATIENCE_MS = 2000 };

static void (*functions[ENDING_FUNCTIONS])(void);
static pid_t process;  /* a child of vfork has this memory and another pid */
static pid_t ender;    /* the thread that calls the functions, or has called them */
static bool has_ended; /* `ender` has called them */

static void after_fork_in_child(void) {
    process = getpid();
    ender = 0;
    has_ended = false;
}

static int (*replaced_status)(void);

/* Returns the status to end with instead of `status`. */
static int replace(int status) {
    int replaced = replaced_status && process == getpid() ? replaced_status() : -1;
    return replaced >= 0 ? replaced : status;
}

/* quick_exit calls neither destructors nor _exit by its name. This function is registered first, so quick_exit calls it
 * last. */
static void at_quick_exit_end(void) {
    process_exit_now();
    int replaced = replace(-1);
    if (replaced >= 0) {
        syscall(SYS_exit_group, replaced); /* what quick_exit does next */
    }
}

static void prepare(void) {
    if (!process) {
        process = getpid();
        pthread_atfork(NULL, NULL, after_fork_in_child);
        (void)at_quick_exit(at_quick_exit_end); /* if there is no memory, quick_exit keeps its status */
    }
}

void process_exit_call(void (*function)(void)) {
    prepare();
    for (size_t i = 0; i < ENDING_FUNCTIONS; i++) {
        if (!functions[i]) {
            functions[i] = function;
            return;
        }
    }
}

static void call_functions(void *unused) {
    (void)unused;
    for (size_t i = 0; i < ENDING_FUNCTIONS && functions[i]; i++) {
        functions[i]();
    }
}

void process_exit_now(void) {
    pid_t me = (pid_t)syscall(SYS_gettid), nobody = 0;
    if (process != getpid()) {
        return;
    }
    if (!__atomic_compare_exchange_n(&ender, &nobody, me, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        for (int i = 0; i < PATIENCE_MS && nobody != me && !__atomic_load_n(&has_ended, __ATOMIC_ACQUIRE); i++) {
            background_sleep(1000000);
        }
        return;
    }
    if (functions[0] && !aside_run(call_functions, NULL)) {
        call_functions(NULL);
    }
    __atomic_store_n(&has_ended, true, __ATOMIC_RELEASE);
}

/* One of exit's functions, and one of the last. What is registered while the program starts up runs after the
 * destructors of all libraries. A function of on_exit belongs to no library, so it is not called with our own
 * destructors. If exit is called in such a function, it goes on where it is with the new status: with the functions
 * that are left, and with what the C library does last. (C leaves that undefined. glibc defines it: since 2.41 with a
 * lock that its thread may take again.) */
static void replace_at_exit(int status, void *unused) {
    (void)unused;
    int replaced = replace(status);
    if (replaced != status) {
        exit(replaced);
    }
}

void process_exit_replaces_status(int (*function)(void)) {
    prepare();
    replaced_status = function;
    on_exit(replace_at_exit, NULL);
}

/* Runs after exit's handlers, and after the destructors of what was loaded later. */
__attribute__((destructor)) static void at_exit(void) {
    process_exit_now();
}

/* In glibc, _exit and _Exit are one system call, and its effect on a process does not depend on who makes it. */
_Noreturn static void end(int status) {
    process_exit_now();
    int replaced = replace(status);
    for (;;) {
        syscall(SYS_exit_group, replaced);
    }
}

_Noreturn __attribute__((visibility("default"))) void _exit(int status) {
    end(status);
}

_Noreturn __attribute__((visibility("default"))) void _Exit(int status) {
    end(status);
}
