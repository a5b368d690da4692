/* Writing what the shim says: lines with ==PID== in front, or JSON lines, on stderr or in the log file, each written by
 * one write(2) as far as a pipe takes it. In a line of text no control character gets through, so that no name of a thread or
 * a file can make lines of its own.
 *
 * Nothing here allocates or takes a lock, errno is left as it was, and a reader that has gone or does not read, a full disk, a
 * file's limit or a closed stderr does no harm (output.h, streams.h): what could not be written is counted, and said before the
 * next that can. All async-signal-safe. log_line and log_open may be called with little stack left (aside.h); the others write
 * into a buffer of the caller's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/json.h"
#include "system/text.h"

/* Opens the log file that the options name, if any. Called when the process turns out to have a CPython, so that
 * other processes leave no empty files behind. A file that can't be opened is complained of once, stderr is used. */
void log_open(void);

/* Counts a line that could not even be made. */
void log_lose(void);

/* One line: "==PID== gilshim: " in front and a newline behind, or an object of type "message". */
void log_line(const char *line);

/* Writes bytes as they are, without a prefix: what CPython has said. */
void log_bytes(const char *bytes, size_t size);

/* A line of one's own making: log_start begins it with the prefix, log_json an object with time, pid, tid and type;
 * log_text ends and writes it. */
struct text log_start(char *buffer, size_t capacity);
struct json log_json(char *buffer, size_t capacity, const char *type);
void log_text(struct text *text);

/* Whether what goes there now is to be coloured: color=, NO_COLOR, CLICOLOR_FORCE, a terminal. */
bool log_has_color(void);
