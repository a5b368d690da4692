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

#include "system/text.h"

/* Told each fault: one line without newline. */
typedef void suppress_complaint(const char *text);

/* Reads the file; a line that is no suppression is complained of, and the rest counts. False: it can't be read. Once,
 * before reports are made. */
bool suppress_read(const char *path, suppress_complaint *complain);

/* As that, from memory. */
void suppress_parse(const char *string, suppress_complaint *complain);

/* What suppress_find has found, for those who remember it: a number from SUPPRESS_RULE on stands for a line of the file. */
enum { SUPPRESS_UNKNOWN, SUPPRESS_NONE, SUPPRESS_RULE };

/* Whether there is any suppression. */
static inline bool suppress_is_any(void) {
    extern unsigned suppress_rule_count __attribute__((visibility("hidden")));
    return suppress_rule_count != 0;
}

/* Which suppression leaves out a report of that name from that caller; SUPPRESS_NONE: none does. Names the caller, which
 * may mean to read its file: takes long, and 1.5 KiB of stack. Not async-signal-safe. */
unsigned suppress_find(const char *name, const void *caller);

/* Counts one more that was left out by what suppress_find answered. False: it is none. Async-signal-safe. */
bool suppress_count(unsigned verdict);

/* As suppress_find, with the caller named already: "module!function" and "module". */
unsigned suppress_find_names(const char *name, const char *place, const char *module);

/* The suppressions that matched: "3 held:libfoo.so". `index` from 0; false behind the last. */
bool suppress_next_matched(unsigned *index, struct text *text);
