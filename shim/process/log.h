/* Writes what the shim says: lines with ==PID== in front, or JSON lines, on stderr or in the log file. Each is written
 * by one write(2) as far as a pipe takes it. No control character gets into a line of text, so that no name of a thread
 * or a file can make lines of its own.
 *
 * Nothing here allocates or takes a lock, and errno is preserved. A reader that has gone or does not read, a full disk,
 * a file's limit or a closed stderr does no harm (output.h, streams.h). Lines that could not be written are counted,
 * and the count is written before the next line that can be. All functions are async-signal-safe. log_line and log_open
 * may be called with little stack left (aside.h). The others write into the caller's buffer. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "system/json.h"
#include "system/text.h"

/* Opens the log file that the options name, if any. Called when the process turns out to have a CPython, so that other
 * processes leave no empty files behind. If the file can't be opened, says so once and uses stderr. */
void log_open(void);

/* Counts a line as lost that could not even be made. */
void log_lose(void);

/* Writes one line: "==PID== gilshim: " in front and a newline at the end, or an object of type "message". */
void log_line(const char *line);

/* Writes bytes as they are, without a prefix: what CPython has said. */
void log_bytes(const char *bytes, size_t size);

/* For lines that the caller makes: log_start begins a line with the prefix. log_json begins an object with time, pid,
 * tid and type. log_text ends the line and writes it. */
struct text log_start(char *buffer, size_t capacity);
struct json log_json(char *buffer, size_t capacity, const char *type);
void log_text(struct text *text);

/* Returns true if what is written now is to be coloured: color=, NO_COLOR, CLICOLOR_FORCE, TERM, a terminal. */
bool log_has_color(void);
