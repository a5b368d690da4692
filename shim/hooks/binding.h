/* What the wrappers ask of start/start.c, which binds them: to a CPython that comes late, too. */
#pragma once

#include "cpython/real.h"

/* Looks whether a CPython has come since the last look, binds to it and learns what it is. Returns the functions that a
 * call from `caller` must be passed to without judging it: another libpython's, or the real ones where nothing is to be
 * repaired; NULL if the call is ours to judge. Functions in the answer may be NULL: no CPython at all. */
const struct real *start_pass_to(const void *caller);

/* The same, but no thread of our own is started: for what a signal handler may call. */
const struct real *start_pass_to_only(const void *caller);

/* The program is about to start a thread: the watches that are wanted start first. */
void start_before_thread(void);

/* Before an interpreter starts: it may be that of a libpython that was not there when we looked last. */
void start_look_again(void);
