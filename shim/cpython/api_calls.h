/* check=calls: puts a thunk (thunks.h) in front of the functions that CPython exports, except for those that need no
 * thread state and those whose address is compared (stateless.def), and the wrapped ones (api.def). Calls inside CPython
 * stay direct. */
#pragma once

#include "system/thunks.h"

/* To be called when a CPython has been bound. `judge` is asked by each call that may be one without the GIL. Returns how
 * many functions are checked; 0 if CPython's table of symbols can't be written. Takes the loader's write lock. Call it
 * on one thread at a time. */
unsigned api_calls_redirect(thunk_judge_function *judge);

/* To be called when libraries have been opened since: gives the thunks to those that another thread was opening during
 * api_calls_redirect. Takes the loader's write lock, if there were any. */
void api_calls_look_again(void);

/* Returns the name of the function behind a thunk, or "?" if its CPython has gone. Async-signal-safe. */
const char *api_calls_name(unsigned number);
