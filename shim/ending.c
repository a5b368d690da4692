#include "ending.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"

enum { PATIENCE_MS = 2000 };

static void (*functions[ENDING_FUNCTIONS])(void);
static pid_t process;  /* a child of vfork has this memory and another pid */
static pid_t ender;    /* the thread that calls them, or has */
static bool has_ended; /* ... it has */

static void after_fork_in_child(void) {
    process = getpid();
    ender = 0;
    has_ended = false;
}

void ending_call(void (*function)(void)) {
    if (!process) {
        process = getpid();
        pthread_atfork(NULL, NULL, after_fork_in_child);
    }
    for (size_t i = 0; i < ENDING_FUNCTIONS; i++) {
        if (!functions[i]) {
            functions[i] = function;
            return;
        }
    }
}

void ending_now(void) {
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
    for (size_t i = 0; i < ENDING_FUNCTIONS && functions[i]; i++) {
        functions[i]();
    }
    __atomic_store_n(&has_ended, true, __ATOMIC_RELEASE);
}

static int (*replaced_status)(void);

void ending_replaces_status(int (*function)(void)) {
    if (!process) {
        process = getpid();
        pthread_atfork(NULL, NULL, after_fork_in_child);
    }
    replaced_status = function;
}

_Noreturn static void leave(int status) {
    int replaced = replaced_status && process == getpid() ? replaced_status() : -1;
    for (;;) {
        syscall(SYS_exit_group, replaced >= 0 ? replaced : status);
    }
}

/* After exit's handlers, and after the destructors of what was loaded later. */
__attribute__((destructor)) static void at_exit(void) {
    ending_now();
    if (replaced_status && process == getpid() && replaced_status() >= 0) {
        fflush(NULL); /* what exit would do next */
        leave(0);
    }
}

/* What these do in glibc is one system call, and what it does to a process does not depend on who makes it. */
_Noreturn static void end(int status) {
    ending_now();
    leave(status);
}

_Noreturn __attribute__((visibility("default"))) void _exit(int status) {
    end(status);
}

_Noreturn __attribute__((visibility("default"))) void _Exit(int status) {
    end(status);
}
