/* The shim's own life: the constructor, and binding to a CPython that comes late. */
#pragma once

#include "real.h"

/* Looks whether a CPython has come since the last look, binds to it and learns what it is. Returns the functions that a
 * call from `caller` must be passed to without judging it: another libpython's, or the real ones where nothing is to be
 * repaired; NULL if the call is ours to judge. Functions in the answer may be NULL: no CPython at all. */
const struct real *start_pass_to(const void *caller);

/* Before an interpreter starts: it may be that of a libpython that was not there when we looked last. */
void start_look_again(void);
