#include "system/ticks.h"

#include <stddef.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool ticks_are_counted;

static uint64_t start_ticks, start_ns;

#if defined(__x86_64__)
/* "Invariant TSC": neither frequency changes nor sleep states affect it. */
static bool is_steady(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}
#elif defined(__aarch64__)
static bool is_steady(void) {
    return true;
}
#else
static bool is_steady(void) {
    return false;
}
#endif

void ticks_start(void) {
    ticks_are_counted = is_steady();
    start_ns = ticks_monotonic();
    start_ticks = ticks_now();
}

/* Returns the nanoseconds per tick. The longer the process has run, the more exact the result. */
static double scale(void) {
    if (!ticks_are_counted) {
        return 1.0;
    }
    uint64_t ns, ticks;
    do {
        ns = ticks_monotonic() - start_ns;
        ticks = ticks_now() - start_ticks;
    } while (ns < 100000); /* waits for a tenth of a millisecond at most, only in a process that has just begun */
    return (double)ns / (double)ticks;
}

uint64_t ticks_to_ns(uint64_t moment) {
    double since = (double)(int64_t)(moment - start_ticks) * scale();
    return start_ns + (uint64_t)(int64_t)since;
}

uint64_t ticks_span_ns(uint64_t span) {
    return (uint64_t)((double)span * scale());
}
