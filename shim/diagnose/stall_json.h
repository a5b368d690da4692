/* A stall as a JSON line, for log_format=json. For the watch thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"

/* Writes one object of type "stall". Arguments as for stall_report. A repeated one has no stacks. */
void stall_json(const struct picture *picture, uint64_t now, bool is_repeated);
