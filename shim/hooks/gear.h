/* Gears: what the functions of the API do on a thread, depending on the state the thread is in. A gear is a table of functions,
 * with the list of wrapped functions as its fields:
 *
 *   plain        no table: a few comparisons in the wrappers themselves (hooks.c, states/plain.h)
 *   two states   the thread has two thread states, and no rule has to be asked (two_states.h)
 *   lifecycle    its one thread state is made, attached, swapped, cleared, deleted (lifecycle.h)
 *   passed       the call is not judged: another libpython's, or nothing is to be repaired (pass_through.h)
 *   recorded     the call is noted in the journal, around the rules (record.c)
 *   judged       the rules (judged.c)
 *
 * The first three are the thread's, the others the process's. A gear treats what its table names; the rest goes to the next one.
 * Which comes when is decided here (GEAR) and in gear.c, and nowhere else. Only a rule puts a thread into plain, two states or
 * lifecycle, so these gears may fall back to the rules (judged_NAME) without asking for passed or recorded.
 *
 * Every function has the parameters of the one it stands for, and behind them `caller`, the return address in the module that
 * called. It may do whatever that function may: call into CPython, wait for the GIL, not return. */
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

/* The functions of each gear: prefix_NAME. Not all of them exist; which do is in the tables below. */
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

/* Constant and in a header, so that the compiler sees which functions a gear leaves to the next one: nothing is looked up at run
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

/* The value of real_changes for which the process's gear is judged: as soon as something changes it is asked anew (gear.c). Set by
 * start/start.c. */
extern unsigned gear_judged_for __attribute__((visibility("hidden")));

/* Returns true if the process's gear is judged. */
static inline bool gear_is_judged(void) {
    return __atomic_load_n(&gear_judged_for, __ATOMIC_RELAXED) == __atomic_load_n(&real_changes, __ATOMIC_RELAXED);
}

/* Whether the calling thread is in that gear. Async-signal-safe. */
static inline bool gear_is_two_states(void) {
    return owner_fast.two_states_epoch == __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
}
static inline bool gear_is_lifecycle(void) {
    uint32_t epoch = __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
    return (owner_fast.settled == epoch || owner_fast.lifecycle_epoch == epoch) && !owner_is_recorded;
}

/* The function to call on a thread for which the wrapper's own few comparisons do not suffice. */
#define GEAR(name)                                                       \
    (gear_two_states.name && gear_is_two_states() ? gear_two_states.name \
     : gear_lifecycle.name && gear_is_lifecycle() ? gear_lifecycle.name  \
     : LIKELY(gear_is_judged())                   ? judged_##name        \
                                                  : onward_##name)
