/* A stall in words. Lines go through report_line; the first alone says who stops whom. For the watch thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"

/* Tells the picture. `now`: ns of CLOCK_MONOTONIC. `is_repeated`: the same was told before, and the holder has not moved:
 * one line is enough. */
void stall_report(const struct picture *picture, uint64_t now, bool is_repeated);

/* The stall that began with this waiter is over. */
void stall_report_end(const struct waiter *waiter, uint64_t lasted);
