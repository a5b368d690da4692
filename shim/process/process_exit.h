/* What is to be done when the process ends, whichever way: exit, _exit, _Exit, quick_exit, abort (fatal.h), or a signal
 * (fatal_signals.h). */
#pragma once

enum { ENDING_FUNCTIONS = 4 };

/* Registers `function`, to be called when the process ends. Functions are called in the order of their registration,
 * and not in a child of vfork. `function` must be callable in a signal handler, since _exit is. Constructor only. */
void process_exit_call(void (*function)(void));

/* Makes the process's exit status what `function` returns when the process ends, unless that is -1. This holds for
 * every end except by a signal or by a system call of the process's own. Apart from the status, the process ends as it
 * would without this. Constructor only. */
void process_exit_replaces_status(int (*function)(void));

/* Calls the registered functions now, for abort and the like. Does nothing the second time, and in a process other than
 * the constructor's that has not forked properly. While another thread is calling them, waits for that, two seconds at
 * most. */
void process_exit_now(void);
