/* Which CPython this is, its life, and the truth about what is attached. Knows nothing of threads' records. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"
#include "system/text.h"

/* Generation of everything that is remembered per thread. A thread whose record carries another number looks at the
 * truth again before it trusts its record. Never 0. Bumped when a state changes its thread, dies by another thread's
 * hand, and when the interpreter starts, ends or forks. */
extern uint32_t interp_epoch __attribute__((visibility("hidden")));
uint32_t interp_next_epoch(void);

/* Learns which kind of CPython `real` is. After binding; makes no call into CPython that needs it initialized. */
void interp_learn(void);

/* From 3.12 on the attached state is a thread-local and the gilstate slot follows it; up to 3.11 "attached" is one
 * global for the process, and the first state of a thread keeps the slot. */
extern bool interp_slot_follows __attribute__((visibility("hidden")));

/* Whether the address lies in the object that is CPython: libpython, or a program that contains it. Takes the loader's
 * lock. */
bool interp_contains(const void *address);

/* PyGILState_Ensure and Release, as far as we can call them, are CPython's own, not another preload's behind us that wants
 * to be called. */
extern bool interp_ensures_itself;

/* A Py_DEBUG build: where "Invalid thread state for this thread" and the asserts live. */
extern bool interp_is_debug;

/* What CPython says is attached: on this thread (3.12+), or on whichever thread holds the GIL (up to 3.11: compare it,
 * don't dereference it before it is known to be ours). Never fatal. Async-signal-safe. */
PyThreadState *interp_current(void);

bool interp_is_initialized(void);

/* Up to 3.6 there is no GIL before somebody needs one (PyEval_InitThreads). */
bool interp_has_gil(void);

bool interp_is_finalizing(void);

/* Py_Finalize has come to its end, and no Py_Initialize was seen since. Set by the rules. */
extern bool interp_is_over;

/* Whether a call may come after the end: it has been seen, or nobody would have seen it. Cheap; interp_has_ended knows. */
extern bool interp_end_is_unwatched; /* there is an interpreter, and nothing would tell its end */
static inline bool interp_may_have_ended(void) {
    return interp_is_over || interp_end_is_unwatched;
}

/* Whether there was an interpreter and it is gone. Asks CPython; false while it finalizes. */
bool interp_has_ended(void);

/* With a state attached: has CPython call `ended` at the very end of the interpreter's life, once, on the thread that
 * finalizes it, whoever called Py_Finalize (the interpreter's own main program does so unseen). It takes one of the 32
 * places of Py_AtExit, and no lock up to 3.11. If there is no place left, interp_has_ended asks at each call. */
extern bool interp_end_is_watched __attribute__((visibility("hidden")));
void interp_watch_end(void (*ended)(void));

/* The interpreter's life is over or another one begins: its end is to be watched anew. */
void interp_unwatch_end(void);

/* An extension module is being imported, so there is an interpreter, though none of the wrapped functions was called yet. */
void interp_note_import(void);

/* Whether the state is in some interpreter's list. Needs the GIL (or a process with one thread); takes no lock. */
bool interp_is_alive(const PyThreadState *state);

/* The interpreter of a state that is known to be alive; NULL if it can't be told. pybind11 up to 2.3 in debug builds
 * sets the field to NULL around PyEval_AcquireThread, so NULL says nothing about the state. */
PyInterpreterState *interp_of(const PyThreadState *state);

/* With a state attached, early: up to 3.8 the two questions around this one walk the list of interpreters the first time
 * they are asked, which only the holder of the GIL can do safely. interp_forget: at the end of the interpreter's life. */
void interp_learn_from(const PyThreadState *attached);
void interp_forget(void);

/* The main interpreter; NULL before there is one. */
PyInterpreterState *interp_main(void);

/* Adds "CPython 3.11.2 release (static, /usr/bin/python3.11)". */
void interp_describe(struct text *text);
