/* Where it happened, how often: reports are told once for each kind and calling site, and counted after. Lock-free and
 * async-signal-safe; counts may miss some where threads meet. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Counts one more. True: the first of this kind at that site. With no room for another site only the kind is counted. */
bool sites_count(unsigned kind, const void *caller);

/* The site's report was left out because of a suppression. */
void sites_suppress(unsigned kind, const void *caller);

struct site {
    unsigned kind;
    const void *caller;
    uintptr_t place; /* modules_place(caller), when it was counted last */
    uint32_t count;
    bool is_suppressed;
};

/* The sites one after the other: `index` from 0; false behind the last. In no order. */
bool sites_next(unsigned *index, struct site *site);

/* Of that kind altogether, those without a site of their own too. */
uint32_t sites_total(unsigned kind);
