/* Up to 3.11: PyEval_SaveThread and PyEval_RestoreThread on a thread that has two states, of which the slot was moved to the
 * attached one. By the rules (attach.c) each of them looks anew at whose the state is, where the slot lies and which blocks
 * end, 250 ns and more in all. Nothing of that changes between two calls unless a rule is asked or the epoch moves on; so
 * the first pair goes by the rules, and those that follow it only move the slot and note the release block, which leaves
 * the record as the rules would.
 *
 * No locks; nothing here calls into CPython but its getters. Not async-signal-safe. */
#pragma once

#include <stdbool.h>

#include "owner.h"

/* For owner_leave: the slot stands where we moved it, and nothing else is pending in the record. */
void second_begin(struct owner *me);

/* Before a real PyEval_SaveThread: the slot has gone back, and a release block is open. False, and nothing has changed: it
 * has to go by the rules. */
bool second_save(void);

/* Before a real PyEval_RestoreThread of `state`, in the same way. */
bool second_restore(PyThreadState *state, const void *caller);
