/* Where it happened, how often: reports are told once for each kind and calling site, and counted after. Lock-free and
 * async-signal-safe; counts may miss some where threads meet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Counts one more. True: the first of this kind at that site. With no room for another site only the kind is counted. */
bool call_sites_count(unsigned kind, const void *caller);

/* What suppressions say of the site (suppress.h), once somebody has asked: found with the site that this thread counted
 * last at no cost. 0: nobody has, or there is no room for the site. */
unsigned call_sites_verdict(unsigned kind, const void *caller);
void call_sites_judge(unsigned kind, const void *caller, unsigned verdict);

struct site {
    unsigned kind;
    const void *caller;
    uintptr_t place; /* modules_place(caller), when it was counted last */
    uint32_t count;
    unsigned verdict;
};

/* The sites one after the other: `index` from 0; false behind the last. In no order. */
bool call_sites_next(unsigned *index, struct site *site);

/* Of that kind altogether, those without a site of their own too. */
uint32_t call_sites_total(unsigned kind);
