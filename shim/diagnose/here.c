#include "diagnose/here.h"

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "journal/journal.h"
#include "states/owner.h"

PyThreadState *here_attached(void) {
    PyThreadState *current = interp_current();
    if (!current || interp_slot_follows || current == slot_get()) {
        return current;
    }
    const struct owner *me = owner_self();
    if (me && me->life == owner_life && (current == me->attached || current == me->override)) {
        return current;
    }
    struct journal_now now = journal_now();
    return now.phase == JOURNAL_HOLDS && now.state == current ? current : NULL;
}

bool here_is_detached(void) {
    return !interp_current();
}

static __thread enum { UNKNOWN, CPYTHONS, FOREIGN } origin __attribute__((tls_model("initial-exec")));

void here_note_call(void) {
    if (!origin) {
        origin = here_attached() ? CPYTHONS : FOREIGN;
    }
}

bool here_is_foreign(void) {
    return origin == FOREIGN;
}

bool here_can_ask(void) {
    PyThreadState *current = interp_current();
    return current && current == slot_get() && interp_is_initialized() && !interp_is_finalizing();
}
