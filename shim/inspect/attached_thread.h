/* 3.12+: which thread has a state attached. CPython keeps a thread's attached state in a thread-local variable of its own, whose place
 * nobody tells. It is found by its value: while one thread holds the GIL, no other thread has that state there. */
#pragma once

#include <sys/types.h>

struct interpreter_picture;
struct interpreter_state;

/* Returns the thread that has the state attached, which holds its GIL. It may be another one than made the state. Returns 0 if it
 * can't be told: another processor than x86-64, or other variables of threads have the state as well.
 * Searches the thread that made the state first, then all others. */
pid_t attached_thread_find(const struct interpreter_picture *picture, const struct interpreter_state *state);
