#include "diagnose/crash_facts.h"

#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "system/ticks.h"

static const char *ending_of_python(void) {
    if (interp_has_ended() || (interp_is_over && !interp_is_initialized())) {
        return "Python has been finalized";
    }
    if (interp_is_initialized()) {
        return interp_is_finalizing() ? "Python is being finalized" : NULL;
    }
    return interp_may_have_ended() ? "Python has been finalized" : "Python is not initialized, or not any more";
}

void crash_find_facts(int number, const siginfo_t *info, struct crash *crash) {
    PyThreadState *attached;
    struct journal_now now = journal_now();
    unsigned torn;
    int index = journal_own_index();
    crash->number = number;
    crash->info = crash->stack.has_origin ? crash->stack.origin : *info;
    crash->now = ticks_now();
    crash->gil = current_thread_find_gil(&attached);
    crash->state = attached;
    if (!attached && now.phase == JOURNAL_WAITS && now.state) {
        crash->state = now.state;
        crash->is_attaching = true;
    }
    crash->has_event = index >= 0 && journal_read_events((unsigned)index, &crash->event, 1, &torn) == 1;
    bool is_known = real_is_served() && !real_is_ambiguous;
    crash->ending = is_known ? ending_of_python() : NULL;
    const struct crash_process facts = {getpid(), is_known, is_known && interp_is_initialized()};
    crash_judge(crash, &facts);
}
