/* suppressions=FILE: reports that are to be left out, in the sanitizers' form.
 *
 *   # comment
 *   type:pattern
 *
 * type: the name of a repair or report (held, save_detached, ...), matched against "module!function" of the caller; or
 * called_from_lib, matched against the caller's module alone, for every kind of report. In a pattern * stands for
 * anything; one is implied at both ends unless ^ (start) or $ (end) is there. */
#pragma once

#include <stdbool.h>

#include "text.h"

/* Told each fault: one line without newline. */
typedef void suppress_complaint(const char *text);

/* Reads the file; a line that is no suppression is complained of, and the rest counts. False: it can't be read. Once,
 * before reports are made. */
bool suppress_read(const char *path, suppress_complaint *complain);

/* As that, from memory. */
void suppress_parse(const char *string, suppress_complaint *complain);

/* Whether a report of that name from that caller is to be left out; counts it. Async-signal-safe. */
bool suppress_matches(const char *name, const void *caller);

/* As that, with the caller named already: "module!function" and "module". */
bool suppress_matches_names(const char *name, const char *place, const char *module);

/* The suppressions that matched: "3 held:libfoo.so". `index` from 0; false behind the last. */
bool suppress_next_matched(unsigned *index, struct text *text);
