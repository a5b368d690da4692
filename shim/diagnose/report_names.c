/* The words of which reports are made. */
#include <string.h>

#include "cpython/real.h"
#include "diagnose/report_detail.h"

static const struct {
    const char *name, *what;
} kinds[] = {
#define REPAIR(name, what) [REPAIR_##name] = {#name, what},
#include "repairs.def"
#undef REPAIR
#define REPORT(name, what) [REPORT_##name] = {#name, what},
#include "reports.def"
#undef REPORT
};

static const struct {
    const char *name, *advice;
} advices[] = {
#define ADVICE(name, advice) {#name, advice},
#include "reports.def"
#undef ADVICE
};

const char *report_name(enum report_kind kind) {
    return kinds[kind].name;
}

const char *report_what(enum report_kind kind) {
    return kinds[kind].what;
}

const char *report_advice(enum report_kind kind) {
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++) {
        if (strcmp(advices[i].name, kinds[kind].name) == 0) {
            return advices[i].advice;
        }
    }
    return "";
}

const char *report_call_name(uint16_t call) {
    return call < REAL_API_COUNT ? real_api_names[call] : "";
}

void report_add_thread(struct text *text, pid_t tid, const char *name) {
    text_add_decimal(text, (uint64_t)tid);
    if (name[0]) {
        text_add(text, " \"");
        text_add(text, name);
        text_add(text, "\"");
    }
}
