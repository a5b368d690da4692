/* summary=1: what was seen, reported when the process ends. */
#pragma once

#include <stdbool.h>

/* For the constructor: has the summary, if wanted, and the suppressions that matched reported when the process ends,
 * and the exit status replaced by exitcode=. */
void summary_prepare(void);

/* Count a state that native code made by PyThreadState_New, or deleted. */
void summary_count_made(void);
void summary_count_deleted(void);
