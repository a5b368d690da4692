/* Standard output, to which log.c writes. */
#pragma once

/* Returns the errno of the first write that failed, or 0. */
int output_failure(void);
