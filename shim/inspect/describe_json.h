/* What describe.h says, as JSON objects: one of type "process" after a "stall", or one of type "no stall". */
#pragma once

#include "diagnose/wait_graph.h"
#include "inspect/watch.h"

void describe_json_stall(const struct picture *picture);
/* An object of type "process", about one CPython. */
void describe_json_python(const struct watched_python *python);
void describe_json_nothing(const struct watched_python *python);
