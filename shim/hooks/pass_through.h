/* Calls that are not judged: for gear.c, judged.c and judged_life.c. */
#pragma once

#include "diagnose/report.h"
#include "hooks/binding.h"
#include "process/options.h"
#include "states/owner.h"

/* Returns true if the rules may be called. In mode=observe and mode=strict nothing is changed. Async-signal-safe. */
static inline bool pass_through_by_rules(void) {
    return options.mode == MODE_REPAIR;
}

/* Like start_pass_to. A plain thread needs no look: only a rule makes a thread plain, and when calls are no longer
 * judged the epoch changes. */
static inline const struct real *pass_through_to(const void *caller) {
    return owner_is_plain() ? NULL : start_pass_to(caller);
}

/* Notes for reports which function was called, and from where. The frame address is that of the function which contains
 * this: one that a wrapper calls, as a rule by a tail call, so that there is no frame of ours above it. */
#define NOTE_CALL(name) (report_call = (struct report_call){caller, REAL_INDEX_##name, __builtin_frame_address(0)})

/* If the call is not to be judged, passes it on and returns the result. If the function to pass it to does not exist (a
 * process without CPython), does nothing and returns 0. */
#define PASS(type, name, ...)                                              \
    do {                                                                   \
        const struct real *pass_to = pass_through_to(caller);              \
        NOTE_CALL(name);                                                   \
        if (pass_to) {                                                     \
            return pass_to->name ? pass_to->name(__VA_ARGS__) : (type){0}; \
        }                                                                  \
    } while (0)
/* The same for functions that signal handlers may call. Nothing is noted, since another wrapper may be running, and no
 * thread is started. */
#define PASS_IN_HANDLER(name)                                                              \
    do {                                                                                   \
        const struct real *pass_to = owner_is_plain() ? NULL : start_pass_to_only(caller); \
        if (pass_to) {                                                                     \
            return pass_to->name ? pass_to->name() : 0;                                    \
        }                                                                                  \
    } while (0)
#define PASS_VOID(name, ...)                                  \
    do {                                                      \
        const struct real *pass_to = pass_through_to(caller); \
        NOTE_CALL(name);                                      \
        if (pass_to) {                                        \
            if (pass_to->name) {                              \
                pass_to->name(__VA_ARGS__);                   \
            }                                                 \
            return;                                           \
        }                                                     \
    } while (0)
