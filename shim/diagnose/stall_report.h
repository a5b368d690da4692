/* A stall as text. Lines go through report_line; the first line alone says which thread blocks which. For the watch
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"

/* Reports the picture. `now`: ns of CLOCK_MONOTONIC. `is_repeated`: the same was reported before and the holder has not
 * moved; then writes one line only. */
void stall_report(const struct picture *picture, uint64_t now, bool is_repeated);

/* Reports what is known of the holder: what it is blocked in, and its stacks. `now`: as above. */
void stall_report_holder(const struct picture *picture, uint64_t now);

/* Reports that the stall that began with this waiter is over. `lasted`: its duration in ns. */
void stall_report_end(const struct waiter *waiter, uint64_t lasted);
