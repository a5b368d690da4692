/* Counts how often something happened at each calling site. A report is told once for each kind and site, and only
 * counted after that. Lock-free and async-signal-safe. A count may be too low if several threads count at the same
 * moment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Counts one more. Returns true if it is the first of this kind at that site. If there is no room for another site,
 * only counts the kind and returns false. */
bool call_sites_count(unsigned kind, const void *caller);

/* Return and set what suppressions say of the site (suppress.h). Cheap for the site that this thread counted last.
 * call_sites_verdict returns 0 if no verdict was set, or if there is no room for the site. */
unsigned call_sites_verdict(unsigned kind, const void *caller);
void call_sites_judge(unsigned kind, const void *caller, unsigned verdict);

struct site {
    unsigned kind;
    const void *caller;
    uintptr_t place; /* modules_place(caller) when it was last counted */
    uint32_t count;
    unsigned verdict;
};

/* Goes through the sites, in no order. `index` starts from 0. Returns false after the last site. */
bool call_sites_next(unsigned *index, struct site *site);

/* Returns the count of that kind in all, including sites for which there was no room. */
uint32_t call_sites_total(unsigned kind);
