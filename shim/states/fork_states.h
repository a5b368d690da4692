/* Keeps states alive through a fork. In the child CPython (3.7+; 3.6 if threading is imported) frees every state but
 * the attached one, even those that the forking thread has detached or set aside and will attach again. Such states are
 * taken out of CPython's list before CPython goes through it, and put back afterwards. Knows nothing of records and
 * rules. */
#pragma once

#include "cpython/cpython.h"
#include "states/blocks.h"
#include "system/list.h"

/* Takes the states that the blocks name, and `home` (may be NULL), out of the main interpreter's list, but not
 * `attached`, the attached one. Does nothing if `attached` is NULL. A state stays in the list if its links cannot be
 * understood: two words in each state, compared with what CPython says of the state. For the child of a fork, which has
 * one thread. Takes no lock, allocates nothing. */
void fork_states_hide(const PyThreadState *attached, const struct list *blocks, PyThreadState *home);

/* Puts all of them back, once CPython is done. The GIL must be held. */
void fork_states_show(void);

/* Forgets all of them, because the interpreter is gone. */
void fork_states_forget(void);
