/* Keeping states alive through a fork. In the child CPython (3.7+; 3.6 if threading is imported) frees every state but
 * the attached one, also those that the forking thread has saved away or set aside and is to go back to. Such states are
 * taken out of CPython's list before it looks, and put back in afterwards. Knows nothing of records and
 * rules. */
#pragma once

#include "cpython/cpython.h"
#include "states/blocks.h"
#include "system/list.h"

/* Takes the states that the blocks name, and `home` (NULL: none), out of the main interpreter's list; not `attached`, the
 * one that is attached (NULL: none, and nothing is done). Nothing happens if the list can't be understood: two words in
 * each state, compared with what CPython says of them. For the child of a fork, which has one thread. Takes no lock,
 * allocates nothing. */
void fork_states_hide(const PyThreadState *attached, const struct list *blocks, PyThreadState *home);

/* Puts all of them back, once CPython is through. The GIL is held. */
void fork_states_show(void);

/* None of them is worth anything any more: the interpreter has gone. */
void fork_states_forget(void);
