/* Saying what the shim saw: lines with ==PID== in front, on stderr or in the log file, each written by one write(2).
 * Nothing here allocates or takes a lock of its own, and errno is left as it was. */
#pragma once

#include <stdbool.h>

#include "options.h"

/* One line ("==PID== gilshim: " is put in front, a newline behind). Async-signal-safe. */
void report_line(const char *text);

/* Opens the log file that the options name, if any. Called when the process turns out to have a CPython, so that
 * other processes leave no empty files behind. A file that can't be opened is complained of once, stderr is used. */
void report_open(void);

/* A repair at work: what would have happened, on which thread, called by which module and function. Told once per
 * repair and calling site, with verbosity 1 and up; otherwise costs one test. `caller`: return address in the caller, or
 * NULL. */
void report_repair(enum repair repair, const void *caller);

/* Called with the first report of a process, as its line is out; does nothing. run-with-shim.sh -d has gdb stop here. */
void gilshim_first_report(const char *line);
