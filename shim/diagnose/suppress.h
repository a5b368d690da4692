/* suppressions=FILE: reports that are to be left out, in the sanitizers' form.
 *
 *   # comment
 *   type:pattern
 *
 * type: the name of a repair or report (held, save_detached, ...), matched against "module!function" of the caller; or
 * called_from_lib, matched against the caller's module alone, for every kind of report. A report of check=calls is also
 * matched with what was called in front, as in "PyMem_Free by module!function": a stripped module has no names of its
 * own functions. In a pattern * stands for anything; one is implied at both ends unless ^ (start) or $ (end) is there. */
#pragma once

#include <stdbool.h>

#include "system/text.h"

/* Called for each error in the file, with one line without newline. */
typedef void suppress_complaint(const char *text);

/* Reads the file. Complains of a line that is no suppression, and uses the others. Returns false if the file cannot be
 * read. To be called once, before any report. */
bool suppress_read(const char *path, suppress_complaint *complain);

/* Like suppress_read, from memory. */
void suppress_parse(const char *string, suppress_complaint *complain);

/* The result of suppress_find, which callers may keep. A number from SUPPRESS_RULE on stands for a line of the file. */
enum { SUPPRESS_UNKNOWN, SUPPRESS_NONE, SUPPRESS_RULE };

/* Returns true if there is any suppression. */
static inline bool suppress_is_any(void) {
    extern unsigned suppress_rule_count __attribute__((visibility("hidden")));
    return suppress_rule_count != 0;
}

/* Returns the suppression that leaves out a report of that name from that caller, or SUPPRESS_NONE. `called`: the
 * function that it called, if patterns may name it, else NULL. Finds the name of the caller, which may read its file:
 * takes long, and 1.5 KiB of stack. Not async-signal-safe. */
unsigned suppress_find(const char *name, const char *called, const void *caller);

/* Counts one more report that the result of suppress_find left out. Returns false if it is no suppression.
 * Async-signal-safe. */
bool suppress_count(unsigned verdict);

/* Like suppress_find, for a caller whose "module!function" and "module" are known. */
unsigned suppress_find_names(const char *name, const char *place, const char *module);

/* Goes through the suppressions that matched, and adds each as "3 held:libfoo.so". `index` starts from 0. Returns false
 * after the last one. */
bool suppress_next_matched(unsigned *index, struct text *text);
