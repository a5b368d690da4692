#include "diagnose/current_thread.h"

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "journal/journal.h"
#include "states/owner.h"

PyThreadState *current_thread_attached(void) {
    PyThreadState *current = interp_current();
    if (!current || interp_slot_follows) {
        return current;
    }
    const struct owner *me = owner_self();
    if (me && me->life == owner_life && (current == me->attached || current == me->override.state)) {
        return current;
    }
    struct journal_now now = journal_now();
    /* The slot comes last: 2.7 has it behind a lock, which a signal handler may find taken by the thread itself. */
    return (now.phase == JOURNAL_HOLDS && now.state == current) || current == slot_get() ? current : NULL;
}

bool current_thread_is_detached(void) {
    return !interp_current();
}

static __thread enum { UNKNOWN, CPYTHONS, FOREIGN } origin __attribute__((tls_model("initial-exec")));

void current_thread_note_call(void) {
    if (!origin) {
        origin = current_thread_attached() ? CPYTHONS : FOREIGN;
    }
}

bool current_thread_is_foreign(void) {
    return origin == FOREIGN;
}

bool current_thread_can_ask(void) {
    PyThreadState *current = interp_current();
    return current && current == slot_get() && interp_is_initialized() && !interp_is_finalizing();
}
