/* check=calls: reports a call of Python's API by a thread that has no thread state attached, or has one that has been
 * deleted. The call is made all the same. */
#pragma once

#include <stdbool.h>

#include "process/options.h"
#include "system/thunks.h"

/* To be called when a CPython has been bound, if options.check_calls. Says what went wrong if nothing can be checked. */
void check_calls_start(void);

/* To be called after each attach on the calling thread: the state is then looked at before the next call. */
static inline void check_calls_attached(void) {
    if (options.check_calls) {
        thunk_close();
    }
}
