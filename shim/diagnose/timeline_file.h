/* The file of a timeline: Chrome's trace format as a JSON array, one event a line. The closing bracket follows each
 * piece that is written, and the next piece overwrites it, so the file is complete at any time, however the process
 * ends. If that is not possible (a pipe), the bracket is written at the end; the format allows it to be missing.
 *
 * A file that has reached half of its limit is renamed to FILE.1 and a new one is begun, so the two together hold the
 * latest events. No existing file is touched: if FILE exists, FILE-2, FILE-3 and so on are tried. If the disk is full,
 * whole lines are left out. Not thread-safe: timeline.c has the lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/text.h"

enum { TIMELINE_LINE = 1024 };

/* Opens the file that `pattern` names (path.h), with at most `limit` bytes in it and its predecessor. Returns false,
 * after a warning, if it cannot be written. */
bool timeline_file_open(const char *pattern, uint64_t limit);

/* Returns the process that owns the file, without a system call for each line. */
pid_t timeline_file_pid(void);

/* Returns true if lines can be written. */
bool timeline_file_is_open(void);

/* Adds a line: the JSON object of an event, with nothing after it. Returns false if a new file has just been begun, in
 * which what every file needs (the names) must be written again. */
bool timeline_file_add(const struct text *event);

/* Writes what is in the buffer to the file. */
void timeline_file_flush(void);

/* Writes what is left and closes the file. */
void timeline_file_close(void);

/* Closes the file without writing, in the fork child, because the parent goes on writing it. */
void timeline_file_forget(void);

/* Adds a JSON string with its quotes. Writes "?" for what is not UTF-8. */
void timeline_add_string(struct text *text, const char *string);
