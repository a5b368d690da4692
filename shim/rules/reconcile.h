/* The rules of the repairs, one function for each wrapped function that has a say. Called by the hooks when the thread
 * is not plain. `caller` is the return address in the module that called.
 *
 * All of them may call into CPython, wait for the GIL, run arbitrary Python code and not return at all (CPython up to
 * 3.13 ends a thread that meets finalization by pthread_exit). No lock is held meanwhile, and no record is touched after
 * a real call without asking for it again. None is async-signal-safe, but for reconcile_this_thread_state. */
#pragma once

#include "cpython/cpython.h"
#include "states/owner.h"

/* ---- attach.c: a given state is attached or detached -------------------------------------------------------------- */

/* PyEval_RestoreThread and PyEval_AcquireThread of `state`. Over a held GIL it is an exchange, not a wait (`held`). */
void reconcile_attach(PyThreadState *state, enum block_by by, const void *caller);

/* PyEval_RestoreThread(NULL), which ends the process. Returns what to attach instead: this thread's own state, if it was
 * saved away (`null`; _tkinter's commands under an event loop of Tcl's that another library runs, cpython #84256). NULL: the
 * thread has none, or has one attached, or holds the GIL without any; it stays the error that it is. */
PyThreadState *reconcile_instead_of_null(const void *caller);

/* PyEval_SaveThread: detaches, or ends a block that was attached over a held GIL. Returns the state that was attached. */
PyThreadState *reconcile_save(const void *caller);

/* PyEval_ReleaseThread of `state`, which also may be the end of such a block. */
void reconcile_release_thread(PyThreadState *state, const void *caller);

/* PyThreadState_Swap; `state` may be NULL. Returns the state that was attached. */
PyThreadState *reconcile_swap(PyThreadState *state, const void *caller);

/* For the other rules: attaches `state` (not NULL) while the GIL is held under `current`, or under no state (NULL); what
 * is beneath is set aside until the block ends. */
void reconcile_attach_over(struct owner *me, PyThreadState *state, PyThreadState *current, enum block_by by,
                           const void *caller);

/* Ends such a block. True: what was beneath is back. False: there is nothing to come back to, and the caller has to
 * detach as usual. */
bool reconcile_resume_beneath(struct owner *me, const struct block *over, const void *caller);

/* ---- gilstate.c: PyGILState_* goes by what is attached ------------------------------------------------------------ */

/* PyGILState_Ensure. Returns what the matching Release is to be given. */
int reconcile_ensure(const void *caller);

/* PyGILState_Release. One with LOCKED never frees a state (pybind11 issue #5827). */
void reconcile_release(int gilstate, const void *caller);

/* PyGILState_Check, as if the slot had been put right. Async-signal-safe. */
int reconcile_check(void);

/* PyGILState_GetThisThreadState: the state that Ensure would use. Async-signal-safe: faulthandler's handler asks. */
PyThreadState *reconcile_this_thread_state(void);

/* ---- pep788.c: 3.15's PyThreadState_Ensure and Release (PEP 788), which go by what is attached ------------------------- */

/* What the thread has before one of them: nothing need be put right for them, but what they do is to be known. */
struct token_view {
    PyThreadState *attached;
    PyThreadState *in_slot;
    int counter; /* gilstate_counter of the attached one */
};
struct token_view reconcile_before_token(void);

/* PyThreadState_Ensure (or EnsureFromView) has returned: notes what it has attached, if it did. */
void reconcile_token_began(struct token_view before);

/* PyThreadState_Release has returned: notes what it has detached, or freed. */
void reconcile_token_ended(struct token_view before);

/* ---- life.c: states and interpreters come and go ------------------------------------------------------------------ */

/* PyThreadState_New, and its second half: `state` has just been made. */
PyThreadState *reconcile_new(PyInterpreterState *interp);
void reconcile_made(PyThreadState *state);

/* PyThreadState_Clear: while it runs, this thread takes the long way; and its second half: it is through, and `outer` goes on
 * being cleared, or nothing (NULL). */
void reconcile_clear(PyThreadState *state);
void reconcile_cleared(PyThreadState *outer);

/* For the other rules, around a call that frees `state`. Before: nothing of this thread names it any more, since another
 * thread may have a new state at its address before the call has returned. `may_be_elsewhere`: another thread may have it
 * in its slot. After: the slot gets back what it held before. Makes the thread plain if it has come to that. */
void reconcile_state_ends(PyThreadState *state, bool may_be_elsewhere);
void reconcile_state_ended(PyThreadState *state);

/* PyThreadState_Delete, and what CPython 3.12+ takes out of this thread's slot by it is put back. */
void reconcile_delete(PyThreadState *state, const void *caller);

/* PyThreadState_DeleteCurrent, which also may be the end of a block over a held GIL. */
void reconcile_delete_current(const void *caller);

/* What Py_NewInterpreter puts its own state in the place of. */
struct beneath_interpreter {
    PyThreadState *attached;
    bool
        is_taken; /* the GIL is this thread's own (taken.h). Asked before: it runs Python code, which gives the GIL to others */
};

/* Before Py_NewInterpreter. */
struct beneath_interpreter reconcile_before_new_interpreter(void);

/* Py_NewInterpreter has returned `state`, attached; NULL: it failed. */
void reconcile_after_new_interpreter(struct beneath_interpreter beneath, PyThreadState *state, const void *caller);

/* Py_EndInterpreter. */
void reconcile_end_interpreter(PyThreadState *state);

/* Around Py_Initialize and its family. */
void reconcile_before_initialize(void);
void reconcile_after_initialize(void);

/* The interpreter's life is over, or another CPython is here: nothing remembered counts. */
void reconcile_forget_interpreter(void);

/* Around PyOS_BeforeFork ... PyOS_AfterFork_*, between which CPython holds its lock on its states: none can be made then. */
void reconcile_before_fork(void);
void reconcile_after_fork(void);

/* PyOS_AfterFork_Child is about to free every state but the attached one. */
void reconcile_before_freeing_others(void);

/* ---- finalize.c, late_threads.c: the end of the interpreter's life -------------------------------------------------- */

/* Before Py_Finalize: attaches this thread's state if it was saved away (`finalize`). */
void reconcile_before_finalize(const void *caller);

/* Py_Finalize has returned. */
void reconcile_after_finalize(void);

/* A call that crashes without an attached state is about to be made: pybind11's finalize_interpreter, after its user has
 * saved the state away (issue #1276). Attaches it on account of the RestoreThread or Py_Finalize to come. */
void reconcile_before_state_is_needed(const void *caller);

/* PyGILState_Ensure or PyThreadState_New is about to be called. After the end of the interpreter, on any thread but the first of
 * the process, it does not return: the thread ends without running any more of its code. Takes no lock. */
void reconcile_stop_if_late(const void *caller);

/* The same for an attach. CPython 3.9 to 3.13 ends the thread then; so do we, where it can be unwound. */
void reconcile_end_if_late(const void *caller);

/* libc's pthread_exit is about to be called, `caller` is where it will not return to. Does not return if it is CPython
 * that ends a thread because of finalization, and unwinding the thread would end the process. In the modes that look on
 * that is told. */
void reconcile_before_pthread_exit(const void *caller);

/* ---- keep.c: the option keep ---------------------------------------------------------------------------------------- */

/* PyGILState_Ensure has made a state for this thread, which is attached: keeps it alive until the thread ends. */
void reconcile_keep(void);

/* The thread ends: what it kept is left to whoever holds the GIL next. Waits for nothing but a lock on a list. */
void reconcile_leave_kept(struct owner *me);

/* A state was attached just now: frees what ended threads have left. Runs Python code; errno stays. */
void reconcile_free_legacy(void);

/* ---- oldlock.c ---------------------------------------------------------------------------------------------------- */

/* PyEval_AcquireLock and PyEval_ReleaseLock: the GIL without a state, also where CPython asks for one. */
void reconcile_acquire_lock(const void *caller);
void reconcile_release_lock(const void *caller);

/* From 3.12 on, for PyEval_RestoreThread and AcquireThread of `state`: takes the GIL and returns true, if it is attached here and its
 * GIL was given by PyEval_ReleaseLock. (Up to 3.11 they just wait. 3.13 takes it for a second attach, and ends the process.) */
bool reconcile_attach_given(struct owner *me, PyThreadState *state, const void *caller);

/* ---- orphan.c ----------------------------------------------------------------------------------------------------- */

/* Up to 3.11: gives the GIL that this thread holds with no state attached. That can't be done without a state, 3.9 and later would
 * look into it: with `state`, or with one made for the moment (NULL). */
void reconcile_drop_bare_gil(PyThreadState *state);

/* The calling thread ends: see owner_before_end. With `is_last` its keys are cleaned up, and if it holds the GIL, that is
 * given back. */
void reconcile_thread_ends(struct owner *me, bool is_last);

/* ---- keys.c: what libraries file under keys of their own ---------------------------------------------------------- */

/* The name of a key made by PyThread_create_key, and of one made by PyThread_tss_create; NULL if that is not initialized.
 * Not the address of the Py_tss_t, of which there may be copies. Async-signal-safe. */
const void *keys_of_number(int number);
const void *keys_of_tss(const Py_tss_t *key);

/* PyThread_tss_set, PyThread_set_key_value. Returns what the real one does. */
int keys_set(const void *key, void *value);

/* PyThread_delete_key_value. */
void keys_empty(const void *key);

/* PyThread_tss_get, PyThread_get_key_value: not a dead state (`cached`), and not nothing if the thread has a state and
 * the key is one for thread states (`share`). */
void *keys_get(const void *key, const void *caller);

/* The key is deleted: its name may be another one's next. */
void keys_gone(const void *key);

/* `state` dies: this thread's keys name it no more. `me` may be NULL. */
void keys_state_died(struct owner *me, const PyThreadState *state);

/* The thread ends, or all keys are void with the interpreter. */
void keys_thread_ends(struct owner *me);
void keys_forget_all(void);
