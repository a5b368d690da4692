/* A stall as a JSON line, for log_format=json. For the watch thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"
#include "system/json.h"

/* Writes one object of type "stall". Arguments as for stall_report. A repeated one has no stacks. */
void stall_json(const struct picture *picture, uint64_t now, bool is_repeated);

/* Adds the Python stack of a thread state as the array "python_stack", a string for each line; or "no_python_stack", why there is
 * none. For one thread at a time. */
void stall_json_python_stack(struct json *json, const void *state);
