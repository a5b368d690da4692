#include "hooks/gear.h"

#include "hooks/pass_through.h"
#include "journal/journal.h"

unsigned gear_judged_for;

/* The gears of the process, in the order in which they are tried: passed (PASS), recorded, judged. */
#define RECORDED(name) (gear_recorded.name && journal_is_on)

#define API0(type, name)                                                            \
    type onward_##name(const void *caller) {                                        \
        PASS(type, name);                                                           \
        return RECORDED(name) ? gear_recorded.name(caller) : judged_##name(caller); \
    }
#define API(type, name, parameters, arguments)                                   \
    type onward_##name(GEAR_WORDS parameters, const void *caller) {              \
        PASS(type, name, GEAR_WORDS arguments);                                  \
        return RECORDED(name) ? gear_recorded.name(GEAR_WORDS arguments, caller) \
                              : judged_##name(GEAR_WORDS arguments, caller);     \
    }
#define API_VOID0(name)                                                      \
    void onward_##name(const void *caller) {                                 \
        PASS_VOID(name);                                                     \
        RECORDED(name) ? gear_recorded.name(caller) : judged_##name(caller); \
    }
#define API_VOID(name, parameters, arguments)                             \
    void onward_##name(GEAR_WORDS parameters, const void *caller) {       \
        PASS_VOID(name, GEAR_WORDS arguments);                            \
        RECORDED(name) ? gear_recorded.name(GEAR_WORDS arguments, caller) \
                       : judged_##name(GEAR_WORDS arguments, caller);     \
    }
#include "api.def"
#undef API
#undef API0
#undef API_VOID
#undef API_VOID0
