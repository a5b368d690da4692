/* For the tests of a gear: a call that it leaves to the rules ends the test. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "hooks/gear.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

static _Noreturn void is_left_to_the_rules(const char *name) {
    printf("not ok %s was left to the rules\n", name);
    exit(1);
}

#define API0(type, name)                     \
    type judged_##name(const void *caller) { \
        is_left_to_the_rules(#name);         \
    }
#define API(type, name, parameters, arguments)                      \
    type judged_##name(GEAR_WORDS parameters, const void *caller) { \
        is_left_to_the_rules(#name);                                \
    }
#include "api.def"
#undef API
#undef API0
