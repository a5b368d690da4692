/* The rules of the repairs: one function for each wrapped function that needs one. The hooks call them when the thread
 * is not plain. `caller` is the return address in the module that called.
 *
 * All of them may call into CPython, wait for the GIL, run arbitrary Python code, and not return at all (up to 3.13
 * CPython ends a thread that meets finalization by pthread_exit). They hold no lock during a real call, and after one
 * they ask for the thread's record again before they touch it. None is async-signal-safe unless its comment says so. */
#pragma once

#include "cpython/cpython.h"
#include "states/owner.h"

/* ---- attach.c: a given state is attached or detached ------------------------------------------------------------- */

/* PyEval_RestoreThread and PyEval_AcquireThread of `state`; `by` tells which. Over a held GIL the attach is an
 * exchange, not a wait (`held`). */
void reconcile_attach(PyThreadState *state, enum block_by by, const void *caller);

/* PyEval_RestoreThread(NULL), which ends the process. Returns what to attach instead: this thread's own state, if it
 * was saved away (`null`; _tkinter's commands under a Tcl event loop that another library runs, cpython #84256).
 * Returns NULL if the thread has no state, has one attached, or holds the GIL without one; then the call stays the
 * error that it is. */
PyThreadState *reconcile_instead_of_null(const void *caller);

/* PyEval_SaveThread: detaches the attached state, or ends a block that was attached over a held GIL. Returns the state
 * that was attached. */
PyThreadState *reconcile_save(const void *caller);

/* PyEval_ReleaseThread of `state`, which also may end such a block. */
void reconcile_release_thread(PyThreadState *state, const void *caller);

/* PyThreadState_Swap; `state` may be NULL. Returns the state that was attached. */
PyThreadState *reconcile_swap(PyThreadState *state, const void *caller);

/* For the other rules: attaches `state` (not NULL) while the GIL is held under `current`, or under no state (NULL).
 * What is beneath is set aside until the block ends. */
void reconcile_attach_over(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                           const void *caller);

/* For the other rules: to be called after an attach, when other threads might have run. Does what waited for such a moment: frees
 * what ended threads have left, and what owner_in_turn does. Preserves errno. */
void reconcile_in_turn(void);

/* Ends such a block. Returns true if what was beneath is back. Returns false if there is nothing to come back to; then
 * the caller has to detach as usual. */
bool reconcile_resume_beneath(struct owner *me, const struct block *over, const void *caller);

/* ---- gilstate.c: PyGILState_* goes by what is attached ----------------------------------------------------------- */

/* PyGILState_Ensure. Returns the value to pass to the matching PyGILState_Release. */
int reconcile_ensure(const void *caller);

/* PyGILState_Release. With LOCKED it never frees a state (pybind11 issue #5827). */
void reconcile_release(int gilstate, const void *caller);

/* PyGILState_Check, answered as if the slot had been put right. Async-signal-safe. */
int reconcile_check(void);

/* PyGILState_GetThisThreadState. Returns the state that Ensure would use. Async-signal-safe, since faulthandler's
 * handler calls it; but not on 2.7, where CPython takes a lock for it (slot_get). */
PyThreadState *reconcile_this_thread_state(void);

/* ---- pep788.c: 3.15's PyThreadState_Ensure and Release (PEP 788), which go by what is attached ------------------- */

/* What the thread has before one of them. The slot need not be put right for them, but what they do has to be known. */
struct token_view {
    PyThreadState *attached;
    PyThreadState *in_slot;
    int counter; /* gilstate_counter of the attached one */
};
struct token_view reconcile_before_token(void);

/* To be called after PyThreadState_Ensure or EnsureFromView: notes what the call has attached, if anything. */
void reconcile_token_began(struct token_view before);

/* To be called after PyThreadState_Release: notes what the call has detached or freed, if anything. */
void reconcile_token_ended(struct token_view before);

/* ---- life.c: states and interpreters come and go ----------------------------------------------------------------- */

/* reconcile_new is PyThreadState_New, and returns NULL if that does. reconcile_made is its second half: `state` has
 * just been made. */
PyThreadState *reconcile_new(PyInterpreterState *interp);
void reconcile_made(PyThreadState *state);

/* reconcile_clear is PyThreadState_Clear; while that runs, this thread is not plain. reconcile_cleared is its
 * second half: the Clear has returned, and `outer` is still being cleared (NULL: nothing is). */
void reconcile_clear(PyThreadState *state);
void reconcile_cleared(PyThreadState *outer);

/* For the other rules, around a call that frees `state`. Before the call: nothing of this thread names the state any
 * more, since another thread may have a new state at its address before the call returns. `may_be_elsewhere` says that
 * another thread may have the state in its slot. After the call: the slot gets back what it held before, and the thread
 * becomes plain if its record allows it. */
void reconcile_state_ends(PyThreadState *state, bool may_be_elsewhere);
void reconcile_state_ended(PyThreadState *state);

/* PyThreadState_Delete. From 3.12 on puts back what CPython takes out of this thread's slot by it. */
void reconcile_delete(PyThreadState *state, const void *caller);

/* PyThreadState_DeleteCurrent, which also may end a block over a held GIL. */
void reconcile_delete_current(const void *caller);

/* What Py_NewInterpreter replaces by its own state. */
struct beneath_interpreter {
    PyThreadState *attached;
    bool is_taken; /* the GIL is this thread's (taken.h); asked first, since the call's Python code gives it away */
};

/* To be called before Py_NewInterpreter. */
struct beneath_interpreter reconcile_before_new_interpreter(void);

/* To be called after Py_NewInterpreter, which has returned `state`, attached, or NULL if it failed. `beneath` is what
 * reconcile_before_new_interpreter returned. */
void reconcile_after_new_interpreter(struct beneath_interpreter beneath, PyThreadState *state, const void *caller);

/* Py_EndInterpreter. */
void reconcile_end_interpreter(PyThreadState *state);

/* To be called before and after Py_Initialize and its family. */
void reconcile_before_initialize(void);
void reconcile_after_initialize(void);

/* Forgets everything that is remembered: the interpreter's life is over, or another CPython is here. */
void reconcile_forget_interpreter(void);

/* To be called before PyOS_BeforeFork and after PyOS_AfterFork_*. In between CPython holds its lock on its states, and
 * none can be made. */
void reconcile_before_fork(void);
void reconcile_after_fork(void);

/* To be called in the child of a fork by the handler of pthread_atfork, before CPython knows of the fork. */
void reconcile_in_child(void);

/* To be called before PyOS_AfterFork_Child, which frees every state but the attached one. */
void reconcile_before_freeing_others(void);

/* ---- finalize.c, late_threads.c: the end of the interpreter's life ----------------------------------------------- */

/* To be called before Py_Finalize: attaches this thread's state if it was saved away, or a new one if the thread has
 * none (`finalize`). */
void reconcile_before_finalize(const void *caller);

/* To be called after Py_Finalize. CPython itself calls it at the end of the interpreter's life (interp_watch_end), if
 * the repair `finalize` is switched on. */
void reconcile_after_finalize(void);

/* To be called before a call that crashes without an attached state: pybind11's finalize_interpreter makes one after
 * its user has saved the state away (issue #1276). Attaches the state in anticipation of the RestoreThread or
 * Py_Finalize to come. */
void reconcile_before_state_is_needed(const void *caller);

/* To be called before PyGILState_Ensure and PyThreadState_New. After the end of the interpreter, on any thread but the
 * first of the process, it does not return: the thread ends without running any more of its code. Takes no lock. */
void reconcile_stop_if_late(const void *caller);

/* The same for an attach. CPython 3.9 to 3.13 ends the thread then by unwinding it, and so does this function where the
 * thread can be unwound. */
void reconcile_end_if_late(const void *caller);

/* To be called before libc's pthread_exit; `caller` is the address that pthread_exit would have returned to. Does not
 * return if CPython ends the thread because of finalization, and unwinding the thread would end the process. In
 * mode=observe and mode=strict it returns, and that is reported. */
void reconcile_before_pthread_exit(const void *caller);

/* ---- keep.c: the option keep ------------------------------------------------------------------------------------- */

/* PyGILState_Ensure has made a state for this thread and attached it: keeps the state alive until the thread ends. */
void reconcile_keep(void);

/* The thread ends: leaves the state that it kept to the thread that holds the GIL next. Waits for nothing but a lock on
 * a list. */
void reconcile_leave_kept(struct owner *me);

/* To be called after an attach: frees the states that ended threads have left. Runs Python code. Preserves errno. */
void reconcile_free_legacy(void);

/* ---- oldlock.c --------------------------------------------------------------------------------------------------- */

/* PyEval_AcquireLock and PyEval_ReleaseLock: take and give the GIL without a state, even where CPython requires one. */
void reconcile_acquire_lock(const void *caller);
void reconcile_release_lock(const void *caller);

/* From 3.12 on, for PyEval_RestoreThread and AcquireThread of `state`: if `state` is attached here and
 * PyEval_ReleaseLock gave its GIL, takes the GIL and returns true. (Up to 3.11 these calls just wait. 3.13 takes such a
 * call for a second attach, and ends the process.) */
bool reconcile_attach_given(struct owner *me, PyThreadState *state, const void *caller);

/* ---- orphan.c ---------------------------------------------------------------------------------------------------- */

/* Up to 3.11: gives the GIL that this thread holds with no state attached. That needs a state, since 3.9 and later look
 * into it: `state` is used, or a state made for the moment if `state` is NULL. */
void reconcile_drop_bare_gil(PyThreadState *state);

/* The calling thread ends: see owner_before_end. With `is_last`, cleans up the thread's keys and gives the GIL back if
 * the thread holds it. */
void reconcile_thread_ends(struct owner *me, bool is_last);

/* ---- keys.c: what libraries file under keys of their own --------------------------------------------------------- */

/* Return the name of a key made by PyThread_create_key, and of one made by PyThread_tss_create (NULL if `key` is NULL
 * or not initialized). The name is not the address of the Py_tss_t, of which there may be copies. Async-signal-safe. */
const void *keys_of_number(int number);
const void *keys_of_tss(const Py_tss_t *key);

/* PyThread_tss_set and PyThread_set_key_value. Returns what the real function returns. */
int keys_set(const void *key, void *value);

/* PyThread_delete_key_value. */
void keys_empty(const void *key);

/* PyThread_tss_get and PyThread_get_key_value. Does not return a dead state (`cached`), nor NULL if the thread has a
 * state and the key is one for thread states (`share`). */
void *keys_get(const void *key, const void *caller);

/* The short way of keys_get for a plain thread that has found nothing under `key`, and has asked for it before: as
 * pybind11 from 2.3 on does in each gil_scoped_acquire on a thread of Python's own. Stores what keys_get would return in
 * *answer. Returns false if keys_get has to be called. */
bool keys_get_again(const void *key, void **answer);

/* Returns true if keys_get_again may have an answer. */
static inline bool keys_was_asked(void) {
    return owner_fast.answered || owner_fast.unknown;
}

/* The key is deleted: its name may be that of another key next. Does nothing if `key` is NULL. */
void keys_gone(const void *key);

/* `state` dies: empties this thread's keys that name it. `me` may be NULL; then nothing is done. */
void keys_state_died(struct owner *me, const PyThreadState *state);

/* keys_thread_ends empties the keys of an ending thread that would outlive it. keys_forget_all forgets all keys, which
 * are void once the interpreter has gone. */
void keys_thread_ends(struct owner *me);
void keys_forget_all(void);
