/* Up to 3.12: which thread runs the Python code of a thread state. A state may be attached on another thread than the one that
 * made it, and up to 3.11 nothing in CPython says on which. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct interpreter_cpython;
struct interpreter_state;

/* Returns the thread whose native stack shows that it runs the state's innermost Python frame: in 3.11 and 3.12 the state points
 * into that stack (cframe); before, the frame's address is among the words of that stack alone. Returns 0 if the state runs no
 * Python code, if the thread's stack is not known, or if there is not exactly one such thread. */
pid_t running_thread_find(const struct interpreter_cpython *cpython, const struct interpreter_state *state);

/* Up to 3.11, of a state that is attached and runs no Python code, whose own thread (state->tid) may have made it for another one. Who
 * attaches a state has its address at hand, to give it back by. Returns the thread that waits in PyGILState_Ensure for the
 * GIL, to attach another state, and has the address on its stack; 0 if there is none, or more than one. */
pid_t running_thread_waiting_with(const struct interpreter_cpython *cpython, const struct interpreter_state *state);

/* Returns true if one of the words of the thread's stack, from its stack pointer on, is `word`. */
bool running_thread_has_word(pid_t tid, uintptr_t word);
