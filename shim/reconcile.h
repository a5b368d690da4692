/* The rules of the repairs, one function for each wrapped function that has a say. Called by the hooks when the thread
 * is not plain. `caller` is the return address in the module that called.
 *
 * All of them may call into CPython, wait for the GIL, and not return at all (CPython up to 3.13 ends a thread that
 * meets finalization by pthread_exit). No lock is held meanwhile, and no record is touched after a real call without
 * asking for it again. */
#pragma once

#include "cpython.h"
#include "owner.h"

/* attach.c: a given state is attached or detached. */
void reconcile_attach(PyThreadState *state, enum owner_attach by, const void *caller);
PyThreadState *reconcile_save(const void *caller);
void reconcile_release_thread(PyThreadState *state, const void *caller);
PyThreadState *reconcile_swap(PyThreadState *state, const void *caller);
void reconcile_acquire_lock(void);
void reconcile_release_lock(void);

/* attach.c, for the other rules. Attaches `state` (not NULL) while the GIL is held under `current`, or under no state
 * (NULL): what is beneath is set aside. And ends that: true if what was beneath is back, false if there is nothing to
 * come back to and the caller has to detach as usual. */
void reconcile_attach_over(struct owner *me, PyThreadState *state, PyThreadState *current, enum owner_attach by,
                           const void *caller);
bool reconcile_resume_beneath(struct owner *me, const void *caller);

/* gilstate.c */
int reconcile_ensure(const void *caller);
void reconcile_release(int gilstate, const void *caller);
int reconcile_check(void);
PyThreadState *reconcile_this_thread_state(void);

/* life.c: states and interpreters come and go. */
PyThreadState *reconcile_new(PyInterpreterState *interp);
void reconcile_clear(PyThreadState *state);
void reconcile_delete(PyThreadState *state);
void reconcile_delete_current(const void *caller);
void reconcile_after_new_interpreter(PyThreadState *state, const void *caller);
void reconcile_end_interpreter(PyThreadState *state);
void reconcile_before_initialize(void);
void reconcile_after_initialize(void);
void reconcile_before_finalize(const void *caller);
void reconcile_forget_interpreter(void); /* its life is over, or another CPython is here: nothing remembered counts */
void reconcile_before_freeing_others(void);
void reconcile_before_state_is_needed(const void *caller);

/* keys.c: what libraries file under their own keys. `key` is the address of a Py_tss_t, or keys_of_number() of an int
 * key. */
const void *keys_of_number(int number);
int keys_set(const void *key, void *value);
void *keys_get(const void *key, const void *caller);
void keys_gone(const void *key);
bool keys_any(void);
bool keys_file(struct owner *me, const PyThreadState *state);
void keys_state_died(struct owner *me, const PyThreadState *state, const void *caller);
void keys_forget_all(void);
void keys_thread_ends(struct owner *me);
