/* What check=locks found, as its report tells it (lock_report.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diagnose/lock_table.h"

enum { LOCK_STEPS = 8 };

/* One order of the circle: a thread waited for `second` with `first` held. NULL stands for the GIL. */
struct lock_step {
    const void *first, *second;
    uint8_t first_kind, second_kind; /* enum lock_kind */
    struct lock_order_seen seen;
};

struct lock_finding {
    /* lock_order: from GIL -> lock to lock -> GIL, which is the last */
    unsigned count;
    struct lock_step steps[LOCK_STEPS];
    /* waits_with_gil, holds_gil: the call that waited, at the report's calling site */
    const char *waits_in;
    uint32_t waits_tid;
    /* waits_with_gil: the other thread, which waits for the GIL */
    const void *needs_site;
    uint16_t needs_call;
    uint32_t needs_tid;
    bool is_joined; /* it is the thread that is waited for: nothing can end this */
    uint64_t waited_ns;
};

/* Returns true for the first finding with these two places, which may be NULL. Returns false also if there is no room to
 * remember them. Lock-free and async-signal-safe. */
bool lock_finding_is_new(const void *one, const void *other);
