#include "states/taken.h"

struct owner *taken_without_state_by;

bool taken_here(struct owner *me, const PyThreadState *current) {
    return current ? current != me->untaken : taken_without_state(me);
}

bool taken_without_state(struct owner *me) {
    if (taken_is_without_state(me) && interp_current()) {
        taken_is_over(me); /* another thread holds it, or we have a state again */
    }
    return taken_is_without_state(me);
}

void taken_keeps_without_state(struct owner *me) {
    if (!interp_slot_follows) {
        __atomic_store_n(&taken_without_state_by, me, __ATOMIC_RELAXED);
    }
}

void taken_is_over(const struct owner *me) {
    struct owner *expected = (struct owner *)me;
    __atomic_compare_exchange_n(&taken_without_state_by, &expected, NULL, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void taken_by_another(void) {
    __atomic_store_n(&taken_without_state_by, NULL, __ATOMIC_RELAXED);
}
