/* Which name of a list a misspelt word most likely stands for, for "did you mean NAME?". The rule is that of git and gcc, and of
 * did_you_mean in run-with-shim.sh. Async-signal-safe. */
#pragma once

#include <stddef.h>

struct nearest {
    const char *word; /* what was written; it need not end with a 0 byte */
    size_t length;
    const char *name; /* the nearest name so far; NULL: none is near */
    unsigned distance;
};

/* Returns a search for `word`, to which nothing has been offered yet. */
struct nearest nearest_start(const char *word, size_t length);

/* Compares the word with one more name. A letter that is missing, too many, wrong or exchanged with its neighbour counts as
 * one; upper and lower case are the same. A name is near if it differs in a third of its letters at most, or if it begins with
 * the word. Of several that are equally near, the first counts. */
void nearest_offer(struct nearest *nearest, const char *name);
