/* How the lines of the log look, whoever they are about and wherever they go: for process/log.c, and for inspect/log.c, which
 * speaks of another process. Async-signal-safe; nothing is written, allocated or locked. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "system/json.h"
#include "system/text.h"

/* Returns a text in `buffer` that begins with "==PID== gilshim: ". */
struct text log_form_start(char *buffer, size_t capacity, pid_t pid);

/* Returns an object in `buffer` that begins with the present time, pid, tid (unless that is 0) and type. */
struct json log_form_json(char *buffer, size_t capacity, const char *type, pid_t pid, pid_t tid);

/* Returns the whole of a message in `buffer`: a line of text or an object of type "message", as log_format= has it. */
struct text log_form_message(char *buffer, size_t capacity, const char *line, pid_t pid, pid_t tid);

/* Ends the text by a newline, at text->buffer[text->length], where its 0 byte would be. What is text by log_format= then has
 * no control characters. Returns the number of bytes, with the newline. */
size_t log_form_end(struct text *text);
