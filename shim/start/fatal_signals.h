/* Signals that end the process, met: where a summary or a timeline is asked for, those are finished before it dies of one
 * whose disposition is the default. The process dies of the same signal, with the same status, moments later.
 *
 * For it a handler stands in the kernel where the program believes SIG_DFL: sigaction, signal and their like are exported
 * and answer SIG_DFL for it, and put it back when SIG_DFL is set. What asks the kernel itself (/proc/PID/status, a runtime
 * that makes the system call) sees a handler. exec and a child of posix_spawn begin with SIG_DFL. SIGKILL is met by
 * nobody. */
#pragma once

/* Constructor: finds the real functions. */
void fatal_signals_start(void);

/* Called when CPython is bound, if there is something to finish: meets those signals from now on that have the default
 * disposition. Does nothing in a process 1, which the kernel keeps from dying of them. */
void fatal_signals_watch(void);
