/* Makes reports of what the rules announce (rules/tell.h), and of what a thread leaves behind when it ends. */
#pragma once

#include <stdbool.h>

#include "states/owner.h"

/* To be set as owner_before_end. Reports what the thread leaves behind, then calls the rules, which clean it up. */
void tell_thread_ends(struct owner *me, bool is_last);
