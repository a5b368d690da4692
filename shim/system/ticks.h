/* The cheapest clock that runs alike on all processors: the processor's own counter if it is steady, clock_gettime
 * otherwise. Ticks are converted to nanoseconds of CLOCK_MONOTONIC when somebody reads them. Async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* True if the processor's counter is used. It is false until ticks_start has found the counter steady. */
extern bool ticks_are_counted;

/* Constructor: chooses the clock, and notes the moment from which it is calibrated. */
void ticks_start(void);

static inline uint64_t ticks_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Returns the current time in ticks. */
static inline uint64_t ticks_now(void) {
    if (__builtin_expect(ticks_are_counted, 1)) {
#if defined(__x86_64__)
        return __rdtsc();
#elif defined(__aarch64__)
        uint64_t count;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
        return count;
#endif
    }
    return ticks_monotonic();
}

/* These convert a moment to nanoseconds of CLOCK_MONOTONIC, and a span to nanoseconds. They are exact to some
 * millionths of the time since ticks_start. */
uint64_t ticks_to_ns(uint64_t moment);
uint64_t ticks_span_ns(uint64_t span);

/* Returns the ticks from one moment to a later one, or 0 if two processors' counters disagree. */
static inline uint64_t ticks_between(uint64_t from, uint64_t to) {
    return to > from ? to - from : 0;
}
