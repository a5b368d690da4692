/* What a thread leaves behind when it ends, told where no rule repairs it: the GIL, and thread states that it made and
 * nobody freed.
 *
 * A state may well outlive its maker: it is handed to another thread, or a destructor of thread-specific data frees it. So
 * what a thread leaves is told when the interpreter or the process ends, if nobody has taken or freed it by then. Lock-free
 * and without allocation; states are compared and printed only. */
#pragma once

#include <stdbool.h>

/* Constructor, behind the journal's start and before the summary's: has it told at the end of the process. */
void leftover_prepare(void);

/* How many states are known: nothing has to be looked up while there are none. */
extern unsigned leftover_count __attribute__((visibility("hidden")));

/* Whether anything is to be told. Constant after the constructor. */
extern bool leftover_is_on __attribute__((visibility("hidden")));

/* The calling thread has made the state by PyThreadState_New. */
void leftover_add(const void *state, const void *caller);
static inline void leftover_made(const void *state, const void *caller) {
    if (leftover_is_on) {
        leftover_add(state, caller);
    }
}

/* It is about to attach the state: one that another thread made is in other hands then. */
void leftover_look(const void *state);
static inline void leftover_attached(const void *state) {
    if (__atomic_load_n(&leftover_count, __ATOMIC_RELAXED)) {
        leftover_look(state);
    }
}

/* The state has been freed, or is about to be. */
void leftover_drop(const void *state);
static inline void leftover_died(const void *state) {
    if (__atomic_load_n(&leftover_count, __ATOMIC_RELAXED)) {
        leftover_drop(state);
    }
}

/* The calling thread ends: see owner_before_end. */
void leftover_thread_ends(bool is_last);

/* The same, and in mode=observe and mode=strict the GIL that it holds is told: for the journal's ends. */
void leftover_thread_ends_observed(bool is_last);

/* The interpreter is about to end: what was left is told. Once for each calling place, as all reports. */
void leftover_tell(void);

/* It has ended, and freed all states. */
void leftover_forget(void);
