/* For gear.c and judged*.c: calls that are not to be judged. */
#pragma once

#include "diagnose/report.h"
#include "hooks/binding.h"
#include "process/options.h"
#include "states/owner.h"

/* mode=observe and mode=strict look on: the rules change nothing. */
static inline bool pass_through_by_rules(void) {
    return options.mode == MODE_REPAIR;
}

/* As start_pass_to. A thread has come to be plain by the rules: they are in force, until the epoch moves on. */
static inline const struct real *pass_through_to(const void *caller) {
    return owner_is_plain() ? NULL : start_pass_to(caller);
}

/* Notes the call for reports; in the function that the wrapper calls. */
#define NOTE_CALL(name) (report_call = (struct report_call){caller, REAL_INDEX_##name, __builtin_frame_address(0)})

/* Leaves the wrapper by calling the function of the libpython that is to get this call unjudged, if that is so; a call
 * in a process without any CPython does nothing. */
#define PASS(type, name, ...)                                              \
    do {                                                                   \
        const struct real *pass_to = pass_through_to(caller);              \
        NOTE_CALL(name);                                                   \
        if (pass_to) {                                                     \
            return pass_to->name ? pass_to->name(__VA_ARGS__) : (type){0}; \
        }                                                                  \
    } while (0)
/* The same for what signal handlers may call, perhaps amid another wrapper: nothing is noted, and no thread is started. */
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
