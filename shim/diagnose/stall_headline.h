/* The first line of a stall's report, which alone says which library to suspect and which thread blocks which. For the
 * watch thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "diagnose/wait_graph.h"
#include "system/text.h"

/* Adds the line. `now`: ns of CLOCK_MONOTONIC. */
void stall_add_headline(struct text *text, const struct picture *picture, uint64_t now);

/* Add a part that other lines have as well: the thread that holds the GIL; in parentheses the call that a waiter waits in, by
 * the waiter's index. */
void stall_add_holder(struct text *text, const struct picture *picture);
void stall_add_waiting_call(struct text *text, const struct picture *picture, size_t index);
