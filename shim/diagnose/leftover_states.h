/* What a thread leaves behind when it ends, reported if no rule repairs it: the GIL, and thread states that it made and
 * nobody freed.
 *
 * A state may outlive its maker: it is handed to another thread, or a destructor of thread-specific data frees it. So a
 * leftover state is reported when the interpreter or the process ends, if no thread has taken or freed it by then.
 * Lock-free and without allocation; states are only compared and printed. */
#pragma once

#include <stdbool.h>

/* For the constructor, after the journal's start and before the summary's: registers the report at the end of the
 * process. */
void leftover_prepare(void);

/* Number of states known. While it is 0, nothing has to be looked up. */
extern unsigned leftover_count __attribute__((visibility("hidden")));

/* True if leftovers are reported. Constant after the constructor. */
extern bool leftover_is_on __attribute__((visibility("hidden")));

/* Called when the calling thread has made the state by PyThreadState_New. */
void leftover_add(const void *state, const void *caller);
static inline void leftover_made(const void *state, const void *caller) {
    if (leftover_is_on) {
        leftover_add(state, caller);
    }
}

/* Called when the calling thread is about to attach the state. If another thread made it, this thread has it now. */
void leftover_look(const void *state);
static inline void leftover_attached(const void *state) {
    if (__atomic_load_n(&leftover_count, __ATOMIC_RELAXED)) {
        leftover_look(state);
    }
}

/* Called when the state has been freed or is about to be. */
void leftover_drop(const void *state);
static inline void leftover_died(const void *state) {
    if (__atomic_load_n(&leftover_count, __ATOMIC_RELAXED)) {
        leftover_drop(state);
    }
}

/* Called when the calling thread ends: see owner_before_end. */
void leftover_thread_ends(bool is_last);

/* Like leftover_thread_ends, and in mode=observe and mode=strict also reports the GIL that the thread holds. For
 * journal_before_end. */
void leftover_thread_ends_observed(bool is_last);

/* Called when the interpreter is about to end: reports what was left. Like all reports, once for each calling site. */
void leftover_tell(void);

/* Called when the interpreter has ended and has freed all states. */
void leftover_forget(void);
