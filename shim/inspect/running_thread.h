/* Up to 3.12: which thread runs the Python code of a thread state. A state may be attached on another thread than the one that
 * made it, and up to 3.11 nothing in CPython says on which. */
#pragma once

#include <sys/types.h>

struct interpreter_cpython;
struct interpreter_state;

/* Returns the thread whose native stack shows that it runs the state's innermost Python frame: in 3.11 and 3.12 the state points
 * into that stack (cframe); before, the frame's address is among the words of that stack alone. Returns 0 if the state runs no
 * Python code, if the thread's stack is not known, or if there is not exactly one such thread. */
pid_t running_thread_find(const struct interpreter_cpython *cpython, const struct interpreter_state *state);
