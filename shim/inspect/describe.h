/* What is said beside the stall report: text, or JSON objects. */
#pragma once

#include <stdbool.h>

#include "diagnose/wait_graph.h"
#include "inspect/watch.h"

/* After a stall report of the GIL that choice_make has chosen: which CPython it is, for how long the holder has not
 * run, and which states look wrong. */
void describe_stall(const struct picture *picture);

/* Says that the whole process is stopped, by a signal or a debugger, if it is. Returns true if so. */
bool describe_stop(void);

/* Says in one line what was seen of a CPython of which nothing is to be explained. */
void describe_nothing(const struct watched_python *python);
