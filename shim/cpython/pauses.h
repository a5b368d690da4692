/* Free-threaded builds (3.13+). Their GIL is off unless PYTHON_GIL=1 or a module that needs it has turned it on. While it is
 * off, any number of threads have a state attached, and nobody waits for the GIL. Threads wait for pauses instead: the garbage
 * collector, os.fork and others stop the world. A pause begins once every other thread has detached its state, or has come to a
 * place in CPython where it suspends itself. Until it is over, a state can't be attached.
 *
 * All of it is read from CPython's memory (own_layout.h). Nothing here takes a lock or allocates. In a build with the GIL, and
 * where the structures are not known, the GIL is never off. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cpython/cpython.h"

/* Returns true if this build can do without the GIL, and it is off now. Cheap. Async-signal-safe. */
bool pauses_gil_is_off(void);

/* What pauses_gil_is_off has found last: for what is said when the interpreter is gone. */
enum pauses_gil { PAUSES_GIL_UNKNOWN, PAUSES_GIL_ON, PAUSES_GIL_OFF };
enum pauses_gil pauses_gil_was(void);

/* The same as it is now, or was when Python ended: a module may have switched the GIL on after that. */
enum pauses_gil pauses_gil_at_end(void);

/* Returns true if the GIL is off and a pause is requested, or has begun. Cheap. Async-signal-safe. */
bool pauses_is_one(void);

/* A pause that is requested or has begun. */
struct pause {
    bool has_begun;
    PyThreadState *requester; /* NULL: a thread without a state */
    PyThreadState *delayer;   /* !has_begun: a state that is still attached; NULL: none was found */
    size_t attached;          /* !has_begun: the number of such states */
    size_t suspended;         /* number of states that can't be attached until it is over */
};

/* Sets `*pause` to the one that there is now. Returns false if there is none. Reads the lists of states while others change
 * them: what it says is true if it says so several times. For the watch thread. */
bool pauses_look(struct pause *pause);

/* In the child of a fork, which CPython makes in a pause: puts the state back from suspended to detached, as CPython does with all
 * states that are in its list when the pause is over. `mark` and `unmark` as follows: between them CPython goes through its lists of
 * what belongs to other threads. pauses_mark returns false if the state is not suspended; nothing is to be undone then. */
bool pauses_mark(PyThreadState *state);
void pauses_unmark(PyThreadState *state);
