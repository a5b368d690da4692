/* The file of a timeline: Chrome's trace format as a JSON array, one event a line. Behind each piece
 * that is written stands the closing bracket, which the next piece overwrites: the file is whole at any time, whatever ends
 * the process. Where that can't be (a pipe), the bracket comes with the end, and the format lets it be missing.
 *
 * A file that has reached half of its limit becomes FILE.1 and a new one is begun: the two together hold the latest
 * events. Nothing that is there already is touched: where FILE is taken, it is FILE-2, FILE-3, and so on. What no longer fits on
 * a disk is left out by whole lines. Not thread-safe: timeline.c has the lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/text.h"

enum { TIMELINE_LINE = 1024 };

/* Opens the file that `pattern` names (path.h), with at most `limit` bytes in it and its predecessor. False, and a
 * complaint, if it can't be written. */
bool timeline_file_open(const char *pattern, uint64_t limit);

/* The process whose file it is: no system call for each line. */
pid_t timeline_file_pid(void);

/* Whether lines can be written. */
bool timeline_file_is_open(void);

/* Adds a line: an event's JSON object, without anything behind. False: the file has just been begun anew, and what every
 * file needs (the names) must be said again. */
bool timeline_file_add(const struct text *event);

/* Writes what is in the buffer to the file. */
void timeline_file_flush(void);

/* Writes what is left and closes the file. */
void timeline_file_close(void);

/* Closes it without a word: in the fork child, whose parent writes on. */
void timeline_file_forget(void);

/* Adds a JSON string with its quotes. What is not UTF-8 is shown as "?". */
void timeline_add_string(struct text *text, const char *string);
