/* What the rules say (rules/tell.h), and what ends of threads tell besides. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* The end of a thread that has a record: for owner_before_end. */
void tell_thread_ends(struct owner *me, bool is_last);
