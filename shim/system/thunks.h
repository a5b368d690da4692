/* Thunks: functions that stand in front of others. A thunk compares two words of the calling thread and jumps on to its
 * target. If the words differ, it asks `thunk_judge` first. All arguments reach the target unchanged, and the target
 * returns to the caller. Nothing is executable that was not in the file: the thunks are assembled (thunks.S).
 *
 * Knows nothing of Python. Nothing uses a thunk before thunk_take gives it out. */
#pragma once

/* CPython 3.8 exports the most functions, 1,679, and debug builds some more. Also in thunks.S. */
#define THUNK_COUNT 2560

#ifndef __ASSEMBLER__

#include <stdint.h>

/* The calling thread's calls pass without a question while *place == value. The initial values let none pass. thunks.S
 * reads it: first the place, then the value. */
struct thunk_pass {
    const void *const volatile *place;
    const void *value;
};
extern __thread struct thunk_pass thunk_pass __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Is asked by each call that does not pass, before the target is called. `number`: that of the thunk. `caller`: the
 * return address. `frame`: the frame address of a function that `caller` called. Runs on the caller's stack, may be in a
 * signal handler, and has to return. */
typedef void thunk_judge_function(unsigned number, const void *caller, const void *frame);
extern thunk_judge_function *thunk_judge __attribute__((visibility("hidden")));

/* Returns a thunk in front of `target`, and stores its number in *number. The thunk stays in front of this target
 * until thunk_take_back. Returns NULL if there is none left. Not to be called by two threads at the same time. */
const void *thunk_take(const void *target, unsigned *number);

/* Makes all thunks free again. To be called when nothing can use them any more, since their targets have been unloaded.
 * Not to be called by two threads at the same time, nor while thunk_take is. */
void thunk_take_back(void);

/* Returns the function behind `address` if that is a thunk, else `address`. Async-signal-safe. */
uintptr_t thunk_behind(uintptr_t address);

/* Returns the function that a thunk is in front of. Async-signal-safe. */
const void *thunk_target(unsigned number);

/* Lets none of the calling thread's calls pass until the pass is set again. Async-signal-safe. */
static inline void thunk_close(void) {
    thunk_pass.value = &thunk_pass;
}

#endif
