/* summary=1: what was seen, told when the process ends. */
#pragma once

#include <stdbool.h>

/* Constructor: has the summary told at the end, if it is wanted, and the suppressions that matched. */
void summary_prepare(void);

/* Counts a state that native code made by PyThreadState_New, or deleted. */
void summary_count_made(void);
void summary_count_deleted(void);
