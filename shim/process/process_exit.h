/* What is to be done when the process ends, whichever way: exit, _exit, _Exit, quick_exit; by abort
 * (fatal.h) and by signals (fatal_signals.h). */
#pragma once

enum { ENDING_FUNCTIONS = 4 };

/* Has `function` called when the process ends; in the order of these calls. Not in a child of vfork. It must bear to be
 * called in a signal handler, since _exit is. Constructor only. */
void process_exit_call(void (*function)(void));

/* The process's exit status is to be what `function` answers when it ends, unless that is -1: however it ends but by a signal or a
 * system call of its own, and it ends as it would without. Constructor only. */
void process_exit_replaces_status(int (*function)(void));

/* Calls them now, for abort and the like. The second time, and in another process than the constructor's that has not
 * forked properly, it does nothing; while another thread is at it, it waits for that, two seconds at most. */
void process_exit_now(void);
