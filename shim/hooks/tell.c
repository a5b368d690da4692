#include "hooks/tell.h"

#include "diagnose/leftover_states.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "rules/reconcile.h"
#include "rules/tell.h"

void tell_repaired(enum repair repair, const void *caller, const PyThreadState *state, const PyThreadState *other) {
    report_repair_of(repair, caller, state, other);
}

void tell_repaired_quietly(enum repair repair, const void *caller, const PyThreadState *state) {
    report_repair_untold(repair, caller, state);
}

void tell_freed(const PyThreadState *state) {
    leftover_died(state);
}

void tell_ends_with_gil(const PyThreadState *state, const void *caller) {
    report_tell(REPORT_DEADLOCK_FOLLOWS, REPORT_ends_with_gil, caller, state, NULL);
}

void tell_would_unwind(const void *caller) {
    report_tell(REPORT_WOULD_REPAIR, (enum report_kind)REPAIR_finalize, caller, NULL, NULL);
}

void tell_vanishes(void) {
    journal_thread_vanishes();
}

const void *tell_last_attacher(void) {
    struct journal_now now = journal_now();
    return now.phase == JOURNAL_HOLDS ? now.caller : NULL;
}

void tell_thread_ends(struct owner *me, bool is_last) {
    leftover_thread_ends(is_last);
    reconcile_thread_ends(me, is_last);
}
