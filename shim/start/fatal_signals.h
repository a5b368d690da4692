/* Handles signals that end the process. Where a summary or a timeline is asked for, it is finished before the process
 * dies of a signal that has the default disposition; with crash=1, a crash is reported before (diagnose/crash.h). The
 * process dies of the same signal, with the same status and core dump, moments later.
 *
 * To do so, a handler is installed in the kernel where the program believes SIG_DFL. The shim exports sigaction, signal
 * and their like, which answer SIG_DFL for that handler, and install it again when SIG_DFL is set. Code that asks the
 * kernel itself (a reader of /proc/PID/status, a runtime that makes the system call) sees a handler. A program started
 * by exec or posix_spawn begins with SIG_DFL. SIGKILL cannot be handled. */
#pragma once

#include <stdbool.h>

/* For the constructor. Finds the real functions. */
void fatal_signals_start(void);

/* Called when CPython is bound, if there is a summary or timeline to finish, or crashes are to be reported. From then on
 * handles those signals that have the default disposition. `all`: false: only those of crashes. Does nothing in process 1,
 * which the kernel keeps from dying of them. */
void fatal_signals_watch(bool all);
