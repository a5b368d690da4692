/* Which CPython this is, when its life begins and ends, and what is really attached. Knows nothing of threads'
 * records. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cpython/cpython.h"
#include "system/text.h"

/* The epoch: the generation of everything that is remembered per thread. A thread whose record carries another number
 * looks at the facts again before it trusts its record. Never 0. interp_next_epoch moves it on and returns the new one.
 * It moves on when a state changes its thread or is ended by another thread, and when the interpreter starts, ends or
 * forks. */
extern uint32_t interp_epoch __attribute__((visibility("hidden")));
uint32_t interp_next_epoch(void);

/* Learns which kind of CPython `real` is. Called after binding. Makes no call into CPython that needs it to be
 * initialized. */
void interp_learn(void);

/* True from 3.12 on: the attached state is a thread-local, and the gilstate slot follows it. Up to 3.11 the attached
 * state is one global for the process, and the first state of a thread keeps the slot. */
extern bool interp_slot_follows __attribute__((visibility("hidden")));

/* Returns true if the address is in the object that is CPython: libpython, or a program that contains it. Locks: as
 * loader_find. */
bool interp_contains(const void *address);

/* True if PyGILState_Ensure and Release, as far as we can call them, are CPython's own. False if they are those of
 * another preload behind us, which wants to be called. */
extern bool interp_ensures_itself;

/* True for a Py_DEBUG build, which has the asserts and "Invalid thread state for this thread". */
extern bool interp_is_debug;

/* Returns what CPython says is attached: on this thread (3.12+), or on the thread that holds the GIL (up to 3.11:
 * compare it, but don't dereference it before it is known to be this thread's). Never fatal. Async-signal-safe. */
PyThreadState *interp_current(void);

/* Returns true unless the libpython was opened late and may have been closed again: before glibc 2.35 that can't be told.
 * Cheap; takes no lock. Async-signal-safe. */
bool interp_is_there(void);

/* True for a build without the GIL (3.13+). */
extern bool interp_is_free_threaded;

/* Returns true if there is one GIL for all threads: up to 3.11, and as long as there is one interpreter, in builds that have
 * a GIL. Async-signal-safe. */
bool interp_has_one_gil(void);

/* Returns true if CPython says that it is initialized. */
bool interp_is_initialized(void);

/* Returns true if there is a GIL. Up to 3.6 there is none before somebody needs one (PyEval_InitThreads). */
bool interp_has_gil(void);

/* Returns true while CPython finalizes. On 2.7, returns true whenever it is not initialized. */
bool interp_is_finalizing(void);

/* True if Py_Finalize has come to its end, and no Py_Initialize was seen since. The rules set and clear it;
 * interp_watch_end clears it, too. */
extern bool interp_is_over;

/* Returns true if a call may come after the end: the end has been seen, or nobody would have seen it. Cheap;
 * interp_has_ended knows for certain. */
extern bool interp_end_is_unwatched; /* there is an interpreter, and nothing would report its end */
static inline bool interp_may_have_ended(void) {
    return interp_is_over || interp_end_is_unwatched;
}

/* Returns true if there was an interpreter and it is gone. Asks CPython. Returns false while it finalizes. */
bool interp_has_ended(void);

/* Makes CPython call `ended` at the very end of the interpreter's life, once, on the thread that finalizes it, whoever
 * called Py_Finalize (the interpreter's own main program does so unseen). A state must be attached. Takes one of the 32
 * places of Py_AtExit, and no lock up to 3.11. If no place is left, interp_has_ended asks at each call. */
extern bool interp_end_is_watched __attribute__((visibility("hidden")));
void interp_watch_end(void (*ended)(void));

/* To be called when the interpreter's life is over or another one begins: its end is then to be watched anew. */
void interp_unwatch_end(void);

/* To be called when an extension module is being imported. There is an interpreter then, even if none of the wrapped
 * functions has been called yet. */
void interp_note_import(void);

/* Returns true if the state is in some interpreter's list. Needs the GIL (or a process with one thread). Takes no
 * lock. */
bool interp_is_alive(const PyThreadState *state);

/* Returns the interpreter of a state that is known to be alive, or NULL if it can't be told. pybind11 up to 2.3 in
 * debug builds sets the field to NULL around PyEval_AcquireThread, so NULL says nothing about the state. */
PyInterpreterState *interp_of(const PyThreadState *state);

/* As interp_is_alive, of the state that is attached to the calling thread, and perhaps deleted: its memory is read. Walks
 * the list of its own interpreter only, since the others' may change meanwhile if they have their own GIL. */
bool interp_is_attached_alive(const PyThreadState *state);

/* interp_learn_from is to be called early, with a state attached. Up to 3.8, interp_of and interp_main walk the list of
 * interpreters the first time they are asked, and only the holder of the GIL can do that safely. interp_forget is to be
 * called at the end of the interpreter's life. */
void interp_learn_from(const PyThreadState *attached);
void interp_forget(void);

/* Returns the main interpreter, or NULL before there is one. */
PyInterpreterState *interp_main(void);

/* Sets the version, 3.12 as 3 and 12. Returns false if CPython doesn't say it. */
bool interp_version(int *major, int *minor);

/* Return the version as CPython says it, "3.11.2" or "?", and how it is bound: "shared", "static", "opened late". */
const char *interp_version_text(void);
const char *interp_binding(void);

/* Adds "CPython 3.11.2 release (static, /usr/bin/python3.11)", or "CPython 3.13.5 free-threaded release (...)". */
void interp_describe(struct text *text);
