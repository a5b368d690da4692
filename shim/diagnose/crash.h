/* Crash reports: a process that dies of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT says which library is to be suspected,
 * and whether it looks like an error with the GIL.
 *
 * Everything here runs in the handler of the signal (start/fatal_signals.c), on any thread and in the midst of anything:
 * nothing allocates, takes a lock or calls into CPython, except for functions that only read a word (whether it is
 * initialized or finalizing, which state is attached or in the slot) and the one that is made to dump a traceback here. A report is made step by step. A step that crashes itself, because
 * memory is corrupt, is left, and the next one follows. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/* For the constructor: crash reports are wanted. */
void crash_start(void);

/* Returns true if a report is to be made of processes that die of signal `number`. */
bool crash_is_of(int number);

/* Returns true if crash_tell has something to do: crash_is_of, and not where the end was reported already (fatal.h), or
 * in a child of vfork. Async-signal-safe. */
bool crash_is_to_tell(int number);

enum crash_verdict {
    CRASH_TOLD,     /* the process is to die of the signal now */
    CRASH_IN_CRASH, /* the report itself has crashed, and is given up: the process is to die of the first signal */
};

/* Reports the crash, once in a process, if crash_is_to_tell. If another thread is reporting one, waits for the end of the
 * process, five seconds at most. `first` is set to
 * the signal that the process is to die of. Returns to the handler, or to the step of the report that comes after the
 * one that has crashed. Async-signal-safe. */
enum crash_verdict crash_tell(int number, const siginfo_t *info, const void *context, int *first);
