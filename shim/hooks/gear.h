/* Gears: the ways in which a wrapped function can be carried out. What is known about the calling thread and about the
 * process decides which one is used.
 *
 *   plain        a few comparisons in the wrappers themselves (hooks.c, states/plain.h)
 *   two states   the thread has two thread states, and no rule is needed (two_states.h)
 *   lifecycle    the thread's only state is made, attached, swapped, cleared or deleted (lifecycle.h)
 *   passed       the call is for another libpython, or nothing is to be repaired (pass_through.h)
 *   recorded     the call is noted in the journal (record.c)
 *   judged       the rules decide (judged.c, judged_life.c)
 *
 * A thread is in one of the first three, or in none; the process is in one of the last three. A gear carries out only
 * some of the wrapped functions (see the tables below); a call of another function goes to the next gear. The order is
 * that of the list, set by GEAR and by gear.c, with one exception: record.c and judged.c may try the functions of
 * lifecycle before a rule. Only a rule puts a thread into one of the first three gears. So these fall back to the rules
 * (judged_NAME) without testing for passed or recorded.
 *
 * A function of a gear has the parameters of the wrapped function and in addition `caller`, the return address in the
 * calling module. It may do what the wrapped function may do: call into CPython, wait for the GIL, not return. */
#pragma once

#include "cpython/cpython.h"
#include "cpython/real.h"
#include "states/plain.h"

#define GEAR_WORDS(...) __VA_ARGS__

struct gear {
#define API0(type, name) type (*name)(const void *caller);
#define API(type, name, parameters, arguments) type (*name)(GEAR_WORDS parameters, const void *caller);
#include "api.def"
#undef API
#undef API0
};

/* The functions of the gears. two_states_, lifecycle_ and recorded_ are defined only for what the tables below name.
 * judged_NAME is defined for every wrapped function, and so is onward_NAME (gear.c), which chooses the process's
 * gear. */
#define API0(type, name)                        \
    type two_states_##name(const void *caller); \
    type lifecycle_##name(const void *caller);  \
    type recorded_##name(const void *caller);   \
    type judged_##name(const void *caller);     \
    type onward_##name(const void *caller);
#define API(type, name, parameters, arguments)                         \
    type two_states_##name(GEAR_WORDS parameters, const void *caller); \
    type lifecycle_##name(GEAR_WORDS parameters, const void *caller);  \
    type recorded_##name(GEAR_WORDS parameters, const void *caller);   \
    type judged_##name(GEAR_WORDS parameters, const void *caller);     \
    type onward_##name(GEAR_WORDS parameters, const void *caller);
#include "api.def"
#undef API
#undef API0

/* The tables are constants in a header so that the compiler knows which functions a gear lacks: no table is read at run
 * time. */
static const struct gear gear_two_states = {
    .PyEval_SaveThread = two_states_PyEval_SaveThread,
    .PyEval_ReleaseThread = two_states_PyEval_ReleaseThread,
    .PyEval_RestoreThread = two_states_PyEval_RestoreThread,
    .PyEval_AcquireThread = two_states_PyEval_AcquireThread,
};

static const struct gear gear_lifecycle = {
    .PyEval_SaveThread = lifecycle_PyEval_SaveThread,
    .PyEval_RestoreThread = lifecycle_PyEval_RestoreThread,
    .PyEval_AcquireThread = lifecycle_PyEval_AcquireThread,
    .PyThreadState_Swap = lifecycle_PyThreadState_Swap,
    .PyThreadState_New = lifecycle_PyThreadState_New,
    .PyThreadState_Clear = lifecycle_PyThreadState_Clear,
    .PyThreadState_Delete = lifecycle_PyThreadState_Delete,
    .PyThreadState_DeleteCurrent = lifecycle_PyThreadState_DeleteCurrent,
};

static const struct gear gear_recorded = {
    .PyGILState_Ensure = recorded_PyGILState_Ensure,
    .PyGILState_Release = recorded_PyGILState_Release,
    .PyEval_RestoreThread = recorded_PyEval_RestoreThread,
    .PyEval_AcquireThread = recorded_PyEval_AcquireThread,
    .PyEval_SaveThread = recorded_PyEval_SaveThread,
    .PyEval_ReleaseThread = recorded_PyEval_ReleaseThread,
    .PyThreadState_Swap = recorded_PyThreadState_Swap,
    .PyEval_AcquireLock = recorded_PyEval_AcquireLock,
    .PyEval_ReleaseLock = recorded_PyEval_ReleaseLock,
    .PyThreadState_New = recorded_PyThreadState_New,
    .PyThreadState_Clear = recorded_PyThreadState_Clear,
    .PyThreadState_Delete = recorded_PyThreadState_Delete,
    .PyThreadState_DeleteCurrent = recorded_PyThreadState_DeleteCurrent,
    .Py_EndInterpreter = recorded_Py_EndInterpreter,
};

/* What real_changes was when the process's gear was last found to be judged; 0: never. As long as the two are equal,
 * calls need not go through onward_NAME. Set by start/start.c. */
extern unsigned gear_judged_for __attribute__((visibility("hidden")));

/* Returns true if the process's gear is known to be judged. Async-signal-safe. */
static inline bool gear_is_judged(void) {
    return __atomic_load_n(&gear_judged_for, __ATOMIC_RELAXED) == __atomic_load_n(&real_changes, __ATOMIC_RELAXED);
}

/* Return true if the calling thread is in the gear. For gear_is_lifecycle, a plain thread is, too, and a thread that
 * the gear has suspended. Async-signal-safe. */
static inline bool gear_is_two_states(void) {
    return owner_fast.two_states_epoch == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}
static inline bool gear_is_lifecycle(void) {
    uint32_t epoch = __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
    return (owner_fast.settled == epoch || owner_fast.lifecycle_epoch == epoch) && !owner_is_recorded;
}

/* The function that a wrapper calls if its own comparisons did not find the thread plain. */
#define GEAR(name)                                                       \
    (gear_two_states.name && gear_is_two_states() ? gear_two_states.name \
     : gear_lifecycle.name && gear_is_lifecycle() ? gear_lifecycle.name  \
     : LIKELY(gear_is_judged())                   ? judged_##name        \
                                                  : onward_##name)
