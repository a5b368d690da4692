/* The gear of recorded calls (gear_recorded in gear.h), in use if journal_is_on. Calls that attach, detach, make or
 * delete thread states are noted in the journal. Then they go to the rules (reconcile.h), or to the real function if
 * the thread is settled or the mode changes nothing. The functions below note what happens to interpreters, for
 * judged_life.c. */
#pragma once

#include <stdint.h>

#include "cpython/cpython.h"

/* To be called before and after the functions that start and end an interpreter, if journal_is_on. `call`: the index of
 * the function in real_api_names. Not async-signal-safe. */
void record_initializes(uint16_t call, const void *caller);
void record_initialized(uint16_t call, const void *caller);
void record_finalizes(uint16_t call, const void *caller);
void record_finalized(uint16_t call, const void *caller);
/* For check=locks: to be called before a call that may take the GIL and is not recorded. */
void record_needs_gil(uint16_t call, const void *caller);

void record_new_interpreter(uint16_t call, PyThreadState *state, const void *caller);
