/* The gear of recorded calls (gear_recorded in gear.h): those that attach, detach, make and delete thread states are noted in the
 * journal on their way to the rules (reconcile.h) or, where the thread is settled or the mode only looks on, to the real
 * function. In force while journal_is_on. What is noted of interpreters is here, for judged_life.c. */
#pragma once

#include <stdint.h>

#include "cpython/cpython.h"

/* Around the functions that start and end an interpreter. `call`: which, by its index in real_api_names. */
void record_initializes(uint16_t call, const void *caller);
void record_initialized(uint16_t call, const void *caller);
void record_finalizes(uint16_t call, const void *caller);
void record_finalized(uint16_t call, const void *caller);
void record_new_interpreter(uint16_t call, PyThreadState *state, const void *caller);
