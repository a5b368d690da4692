/* A deadlock across several GILs (PICTURE_ACROSS) as text. For the watch thread. */
#pragma once

#include "diagnose/wait_graph.h"
#include "system/text.h"

/* Adds the first line: "stall: deadlock across GILs between a.so and b.so: thread 1 waits for the GIL of interpreter 1 (...) and
 * thread 2, which holds it, waits for the GIL of interpreter 0 (...) that the first holds". */
void stall_add_across(struct text *text, const struct picture *picture);

/* Reports who holds the other GILs, one line for each. Nothing if it is about one. */
void stall_tell_across(const struct picture *picture);
