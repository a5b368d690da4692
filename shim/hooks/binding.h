/* What the wrappers need from start/start.c, which binds them to a CPython, also to one that is loaded later. */
#pragma once

#include "cpython/real.h"

/* Decides whether a call from `caller` is judged. If no CPython is bound yet, looks for one and binds to it, which
 * takes the locks of real_bind. If one is bound, starts the shim's own threads that are wanted. Returns NULL if the
 * call is to be judged. Otherwise returns the functions to pass it to: those of another libpython, CPython's own where
 * nothing is to be repaired, or, without any CPython, what other objects define under our names. A function that does
 * not exist is NULL there. Not async-signal-safe. */
const struct real *start_pass_to(const void *caller);

/* Like start_pass_to, but starts no thread: for functions that signal handlers may call. Async-signal-safe once a
 * CPython is bound, if it is the only one (see real_of_caller for two); before that, the locks of real_bind are
 * taken. */
const struct real *start_pass_to_only(const void *caller);

/* Called when the program is about to start a thread: starts the shim's own threads that are wanted and not running.
 * Not async-signal-safe. */
void start_before_thread(void);

/* Called before an interpreter is started: looks for CPythons again, since this may be the interpreter of a libpython
 * that was loaded after the last look. Takes the locks of real_bind. */
void start_look_again(void);
