#include "start/fatal_signals.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diagnose/crash.h"
#include "process/process_exit.h"
#include "system/dlsym_hook.h"

/* ---- the real functions ----------------------------------------------------------------------------------------- */

typedef void handler_function(int number);
typedef handler_function *signal_function(int number, handler_function *handler);

static struct {
    int (*sigaction)(int number, const struct sigaction *action, struct sigaction *old);
    signal_function *signal, *sysv_signal, *sigset;
} libc;

/* The sanitizers' runtimes wrap these functions, and call them before their instrumentation works. */
#define EARLY __attribute__((no_sanitize("address", "thread", "undefined")))

/* Finds one on demand, since other libraries' constructors may run before ours. */
EARLY static void find(void **place, const char *name) {
    if (!__atomic_load_n(place, __ATOMIC_RELAXED)) {
        __atomic_store_n(place, libc_real_dlsym(RTLD_NEXT, name), __ATOMIC_RELAXED);
    }
}

EARLY static void find_all(void) {
    find((void **)&libc.sigaction, "sigaction");
    find((void **)&libc.signal, "signal");
    find((void **)&libc.sysv_signal, "__sysv_signal");
    find((void **)&libc.sigset, "sigset");
}

void fatal_signals_start(void) {
    find_all();
}

/* ---- which, and the handler ------------------------------------------------------------------------------------- */

/* Crashes, and the signals by which people and machines end programs. Signals that a program chooses for messages of
 * its own (SIGUSR1, SIGALRM, SIGPIPE) are left alone. */
static const int mortal[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { MORTAL_COUNT = sizeof mortal / sizeof mortal[0] };

/* Which of them are handled: all for a summary or a timeline, crashes for a report. */
static bool is_watching, watches_all;

EARLY static bool is_watched(int number) {
    return __atomic_load_n(&watches_all, __ATOMIC_RELAXED) || crash_is_of(number);
}

/* What the kernel had before the shim's handler. The C library adds a flag to every action that it sets (SA_RESTORER),
 * which the default action of a process that has set nothing lacks. */
static struct before {
    int flags;
    void (*restorer)(void);
} before[MORTAL_COUNT];

/* Returns the signal's place in `before`, or NULL if the signal is none of these. */
EARLY static struct before *before_of(int number) {
    for (size_t i = 0; i < MORTAL_COUNT; i++) {
        if (mortal[i] == number) {
            return &before[i];
        }
    }
    return NULL;
}

/* Returns true if the signal was raised by the instruction that the thread is at. It is raised again when the handler
 * returns, and the core shows that instruction. */
static bool is_fault(int number, const siginfo_t *info) {
    return info->si_code > 0 && (number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL);
}

/* Returns true if a fault may not be raised again: the kernel could not make the frame of another signal on a stack that
 * has run out (force_sigsegv, with SI_KERNEL), or memory has failed that nobody has touched yet. */
static bool may_stay_away(int number, const siginfo_t *info) {
    return info->si_code == SI_KERNEL || (number == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

static void die(int number, siginfo_t *info, void *context);

static void handle(int number, struct sigaction *action) {
    action->sa_sigaction = die;
    action->sa_flags |= SA_SIGINFO | (crash_is_of(number) ? SA_ONSTACK : 0);
}

/* Takes all faults, also those that the program handles: from here on the process ends, and if the report crashes, the
 * process is to die of the first signal. */
static void take_faults(void) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_flags = 0};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        handle(faults[i], &action);
        libc.sigaction(faults[i], &action, NULL);
    }
}

/* Ends the process by the signal, which may be blocked. It ends all the same where a sandbox refuses the calls, or the
 * kernel does not let the process die of it: the first one of a namespace. */
_Noreturn static void die_at_once(int number) {
    const struct sigaction preset = {.sa_handler = SIG_DFL};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, number);
    libc.sigaction(number, &preset, NULL);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number); /* does not return where it is obeyed */
    kill(getpid(), number);
    for (;;) {
        syscall(SYS_exit_group, 128 + number);
    }
}

static void die(int number, siginfo_t *info, void *context) {
    int saved_errno = errno, first;
    bool comes_again = is_fault(number, info);
    if (getpid() == 1 && !comes_again) {
        return; /* a child that has become the first process of a namespace: the kernel would not let it die */
    }
    if (crash_is_to_tell(number)) {
        take_faults();
        if (crash_tell(number, info, context, &first) == CRASH_IN_CRASH) {
            die_at_once(first);
        }
    }
    process_exit_now();
    const struct sigaction preset = {.sa_handler = SIG_DFL};
    libc.sigaction(number, &preset, NULL);
    /* The signal is blocked until the handler returns. Where a sandbox refuses the call, the process dies all the
     * same. */
    if ((!comes_again || may_stay_away(number, info)) &&
        syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number) != 0 && kill(getpid(), number) != 0) {
        syscall(SYS_exit_group, 128 + number);
    }
    errno = saved_errno;
}

EARLY static bool is_ours(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == die;
}

/* Shows the program SIG_DFL. The mask stays what the program has set, so that the program gets it back. */
EARLY static void show_default(int number, struct sigaction *action) {
    const struct before *shown = before_of(number);
    action->sa_flags = shown ? shown->flags : 0;
    action->sa_restorer = shown ? shown->restorer : NULL;
    action->sa_handler = SIG_DFL;
}

/* Installs the handler if the signal has the default disposition. */
EARLY static void meet(int number) {
    struct sigaction action;
    if (libc.sigaction(number, NULL, &action) != 0 || action.sa_handler != SIG_DFL) {
        return;
    }
    *before_of(number) = (struct before){action.sa_flags, action.sa_restorer};
    handle(number, &action);
    libc.sigaction(number, &action, NULL);
}

void fatal_signals_watch(bool all) {
    if (is_watching || !libc.sigaction || getpid() == 1) {
        return;
    }
    watches_all = all;
    is_watching = true;
    for (size_t i = 0; i < MORTAL_COUNT; i++) {
        if (is_watched(mortal[i])) {
            meet(mortal[i]);
        }
    }
}

/* ---- what the program sees -------------------------------------------------------------------------------------- */

/* The headers name parameters in their own way. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

EARLY static void after_setting_default(int number) {
    if (__atomic_load_n(&is_watching, __ATOMIC_RELAXED) && before_of(number) && is_watched(number)) {
        meet(number);
    }
}

EARLY __attribute__((visibility("default"))) int sigaction(int number, const struct sigaction *action,
                                                           struct sigaction *old) {
    find((void **)&libc.sigaction, "sigaction");
    bool is_default = action && action->sa_handler == SIG_DFL; /* `old` may be the same */
    int result = libc.sigaction(number, action, old);
    if (result == 0 && old && is_ours(old)) {
        show_default(number, old);
    }
    if (result == 0 && is_default) {
        after_setting_default(number);
    }
    return result;
}

EARLY static handler_function *set(signal_function *function, int number, handler_function *handler) {
    handler_function *old = function(number, handler);
    void (*our)(int number, siginfo_t *info, void *context) = die;
    if (memcmp(&old, &our, sizeof old) == 0) {
        old = SIG_DFL;
    }
    if (old != SIG_ERR && handler == SIG_DFL) {
        after_setting_default(number);
    }
    return old;
}

#define EXPORTED EARLY __attribute__((visibility("default")))

EXPORTED handler_function *signal(int number, handler_function *handler) {
    find_all();
    return set(libc.signal, number, handler);
}

/* Other names of signal. glibc's headers no longer declare the first. */
handler_function *bsd_signal(int number, handler_function *handler);
EXPORTED handler_function *bsd_signal(int number, handler_function *handler) {
    return signal(number, handler);
}
EXPORTED handler_function *ssignal(int number, handler_function *handler) {
    return signal(number, handler);
}

/* Programs built with _XOPEN_SOURCE call signal by this name. */
EXPORTED handler_function *__sysv_signal(int number, handler_function *handler) {
    find_all();
    return set(libc.sysv_signal, number, handler);
}
EXPORTED handler_function *sysv_signal(int number, handler_function *handler) {
    return __sysv_signal(number, handler);
}

EXPORTED handler_function *sigset(int number, handler_function *handler) {
    find_all();
    return set(libc.sigset, number, handler);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name,bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
