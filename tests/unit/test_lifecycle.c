/* lifecycle.c: when a call need not go by the rules, and what it leaves behind. No Python is needed: CPython is a slot,
 * an attached state, and what a test lets CPython do during a call. The rules only note that they were asked. */
#include "hooks/lifecycle.h"

#include <string.h>

#include "cpython/real.h"
#include "diagnose/leftover_states.h"
#include "process/options.h"
#include "rules/reconcile.h"
#include "states/owner.h"
#include "states/taken.h"
#include "test.h"
#include "unjudged.h"

/* ---- the CPython ---- */

uint32_t interp_epoch;
bool interp_slot_follows;
int counter_offset;
struct real real;
struct options options;
__thread struct owner_fast owner_fast;
bool leftover_is_on;
bool owner_is_recorded;
unsigned leftover_count;

static PyThreadState *slot, *current;
static bool is_finalizing;
static char memory[8];
static PyThreadState *state(int number) {
    return (PyThreadState *)&memory[number];
}
PyThreadState *slot_get(void) {
    return slot;
}
bool interp_is_finalizing(void) {
    return is_finalizing;
}
PyThreadState *interp_current(void) {
    return current;
}

/* ---- what was asked of the others ---- */

static char calls[200];
static void note(const char *call) {
    strcat(strcat(calls, calls[0] ? " " : ""), call);
}
static bool were(const char *expected) {
    bool is_so = strcmp(calls, expected) == 0;
    if (!is_so)
        printf("# \"%s\", not \"%s\"\n", calls, expected);
    calls[0] = 0;
    return is_so;
}

bool owner_state_made(PyThreadState *made, bool is_in_slot) {
    note(is_in_slot ? "made_in_slot" : "made");
    return made == slot;
}
void owner_state_ends(struct owner *me, PyThreadState *of, bool may_be_elsewhere) {
    CHECK(!may_be_elsewhere);
    me->clearing = of;
    note("ends");
}
void keys_state_died(struct owner *me, const PyThreadState *of) {
    CHECK(me == owner_fast.record && of == slot);
    note("keys");
}
void leftover_drop(const void *of) {
    CHECK(of == slot);
    note("leaving");
}
void leftover_add(const void *of, const void *caller) {
    CHECK(!of && !caller);
}
void leftover_look(const void *of) {
    CHECK(!of);
}
void reconcile_made(PyThreadState *made) {
    CHECK(made != NULL);
    note("RULE");
}
void reconcile_cleared(PyThreadState *outer) {
    CHECK(!outer);
    note("RULE");
}
void reconcile_state_ended(PyThreadState *of) {
    CHECK(of != NULL);
    note("RULE");
}

/* ---- the thread ---- */

static struct owner owner, another;
static PyThreadState *const volatile nothing;

/* What happens during the real call. */
static void (*meanwhile)(void);

/* A plain thread, with `own` in its slot, which is attached or not. */
static void plain(PyThreadState *own, bool is_attached) {
    owner = (struct owner){.visits = 7};
    slot = own;
    current = is_attached ? own : NULL;
    interp_epoch = 5;
    owner_fast = (struct owner_fast){.epoch = 5, .settled = 5, .verified = 5, .record = &owner, .own = own};
    owner_fast.slot = owner_fast.counted = &slot;
    owner_fast.current = &current;
    interp_slot_follows = is_finalizing = leftover_is_on = false;
    leftover_count = 0;
    counter_offset = 0;
    owner_is_recorded = false;
    meanwhile = NULL;
    taken_by_another();
    calls[0] = 0;
}
/* The same on 2.7. */
static void plain_unseen(PyThreadState *own, bool is_attached) {
    plain(own, is_attached);
    owner_fast.slot = &owner_fast.own;
    owner_fast.counted = &nothing;
}
/* The same where calls are recorded: the recorder comes here, not the wrappers. */
static void recorded(PyThreadState *own, bool is_attached) {
    plain(own, is_attached);
    owner_is_recorded = true;
    owner_fast.epoch = 0;
    owner_fast.counted = &nothing;
}
static bool is_settled_only(void) {
    return !owner_is_plain() && owner_is_settled() && !owner_fast.lifecycle_epoch && !owner.clearing;
}
static bool is_plain(void) {
    return owner_is_plain() && owner_is_settled() && !owner_fast.lifecycle_epoch && !owner.clearing;
}

static void a_rule_is_asked(void) {
    owner_unsettle();
}
static void others_move_on(void) {
    interp_epoch++;
}
static void slot_is_taken(void) {
    slot = state(5);
}
static void returns_elsewhere(void) {
    owner_fast.record = &another;
}

static PyThreadState *made_next;
static PyThreadState *real_new(PyInterpreterState *interp) {
    CHECK(!interp && owner_is_settled());
    slot = slot ? slot : made_next;
    if (meanwhile)
        meanwhile();
    return made_next;
}
static void real_clear(PyThreadState *of) {
    CHECK(!owner_is_plain() && !owner_is_settled() && owner.clearing == of);
    note("clear");
    if (meanwhile)
        meanwhile();
}
static void real_delete_current(void) {
    CHECK(!owner_is_plain() && !owner_is_settled());
    note("delete");
    slot = current = NULL;
    if (meanwhile)
        meanwhile();
}
static void real_delete(PyThreadState *of) {
    CHECK(!owner_is_plain() && !owner_is_settled() && !owner_fast.parked && owner.clearing == of);
    note("delete");
    slot = NULL;
    if (meanwhile)
        meanwhile();
}

/* ---- the tests ---- */

static bool makes(PyThreadState *made) {
    PyThreadState *got = state(7);
    made_next = made;
    bool is_done = lifecycle_new(NULL, &got);
    CHECK(got == (is_done ? made : state(7)));
    return is_done;
}

static void a_state_is_made(void) {
    plain(NULL, false);
    CHECK(makes(state(1)) && were("made_in_slot") && is_plain() && owner_fast.own == state(1) && owner.visits == 8);
    plain(state(1), true);
    CHECK(makes(state(2)) && were("made") && is_plain() && owner_fast.own == state(1));
    plain(NULL, false);
    CHECK(makes(NULL) && were("") && is_plain() && !owner_fast.own); /* no memory */
    plain_unseen(NULL, false);
    CHECK(makes(state(1)) && were("made_in_slot") && is_plain() && owner_fast.own == state(1));
    plain_unseen(NULL, false);
    slot = state(1); /* which is not known */
    CHECK(makes(state(2)) && were("made") && is_plain() && !owner_fast.own);
}

static void the_rules_note_what_was_made_while_something_changed(void) {
    static void (*const changes[])(void) = {a_rule_is_asked, others_move_on, slot_is_taken};
    for (int i = 0; i < 3; i++) {
        plain(NULL, false);
        meanwhile = changes[i];
        CHECK(makes(state(1)) && were("RULE") && !owner_fast.own);
    }
}

static void a_state_is_made_by_the_rules(void) {
    plain(NULL, false);
    owner_unsettle();
    CHECK(!makes(state(1)));
    plain(NULL, false);
    owner_fast.parked = state(1);
    CHECK(!makes(state(2)));
    plain(NULL, false);
    counter_offset = -1;
    CHECK(!makes(state(1)));
    plain(NULL, false);
    owner_fast.current = NULL; /* nobody knows where that is */
    CHECK(!makes(state(1)));
    CHECK(were("") && !slot);
}

static void a_state_is_cleared(void) {
    plain(state(1), true);
    CHECK(lifecycle_clear(state(1)) && were("clear") && is_plain() && owner.visits == 8);
    plain(state(1), true);
    meanwhile = others_move_on;
    CHECK(lifecycle_clear(state(1)) && were("clear") && !owner_is_plain() && !owner.clearing);
    static void (*const changes[])(void) = {a_rule_is_asked, returns_elsewhere};
    for (int i = 0; i < 2; i++) {
        plain(state(1), true);
        meanwhile = changes[i];
        CHECK(lifecycle_clear(state(1)) && were("clear RULE") && !owner_is_plain());
    }
}

static void a_state_is_cleared_by_the_rules(void) {
    plain(state(1), true);
    CHECK(!lifecycle_clear(state(2)) && !lifecycle_clear(NULL));
    owner.alias = state(1);
    CHECK(!lifecycle_clear(state(1)));
    plain(state(1), false);
    CHECK(!lifecycle_clear(state(1)));
    plain(state(1), true);
    owner_fast.parked = state(1);
    CHECK(!lifecycle_clear(state(1)));
    plain(state(1), true);
    current = state(2);
    CHECK(!lifecycle_clear(state(1)) && !lifecycle_clear(state(2)));
    CHECK(were("") && !owner.clearing);
}

static void a_state_is_deleted(void) {
    plain(state(1), true);
    owner.unseen.state = state(1);
    leftover_count = 1;
    CHECK(lifecycle_delete_current() && were("keys ends leaving delete"));
    CHECK(is_plain() && !owner_fast.own && !owner.unseen.state && owner.visits == 8);
    plain_unseen(state(1), true);
    owner.unseen.state = state(2);
    CHECK(lifecycle_delete_current() && were("keys ends delete") && is_plain() && !owner_fast.own);
    CHECK(owner.unseen.state == state(2));
    static void (*const changes[])(void) = {a_rule_is_asked, slot_is_taken, returns_elsewhere};
    for (int i = 0; i < 3; i++) {
        plain(state(1), true);
        meanwhile = changes[i];
        CHECK(lifecycle_delete_current() && were("keys ends delete RULE") && !owner_is_plain());
    }
}

static void a_state_is_deleted_by_the_rules(void) {
    plain(state(1), false);
    CHECK(!lifecycle_delete_current());
    plain(state(1), true);
    owner.alias = state(2);
    CHECK(!lifecycle_delete_current());
    plain(state(1), true);
    owner_fast.parked = state(1);
    CHECK(!lifecycle_delete_current());
    plain(state(1), true);
    others_move_on();
    CHECK(!lifecycle_delete_current());
    CHECK(were(""));
}

static void saved_away(void) {
    plain(state(1), true);
    owner_fast.parked = state(1);
    current = NULL;
}
static void a_state_that_is_saved_away_is_deleted(void) {
    saved_away();
    CHECK(lifecycle_delete(state(1)) && were("keys ends delete") && is_plain() && !owner_fast.own &&
          !owner_fast.parked);
    static void (*const changes[])(void) = {a_rule_is_asked, slot_is_taken, returns_elsewhere};
    for (int i = 0; i < 3; i++) {
        saved_away();
        meanwhile = changes[i];
        CHECK(lifecycle_delete(state(1)) && were("keys ends delete RULE") && !owner_is_plain());
    }
    saved_away();
    CHECK(!lifecycle_delete(state(2)) && !lifecycle_delete(NULL));
    current = state(1); /* attached again by an Ensure */
    CHECK(!lifecycle_delete(state(1)));
    saved_away();
    owner_fast.parked = NULL;
    CHECK(!lifecycle_delete(state(1)));
    saved_away();
    slot = NULL; /* from 3.12 on it may be saved away and not in the slot */
    CHECK(!lifecycle_delete(state(1)));
    saved_away();
    others_move_on();
    CHECK(!lifecycle_delete(state(1)));
    saved_away();
    counter_offset = -1;
    CHECK(!lifecycle_delete(state(1)));
    saved_away();
    owner.alias = state(1);
    CHECK(!lifecycle_delete(state(1)) && owner_fast.parked);
    CHECK(were(""));
}

static void a_state_is_attached_for_the_first_time(void) {
    plain(state(1), false);
    CHECK(lifecycle_attach(state(1)) && is_plain() && owner.visits == 8);
    CHECK(!lifecycle_attach(state(2)) && !lifecycle_attach(NULL));
    plain(NULL, false);
    CHECK(!lifecycle_attach(NULL) && !lifecycle_attach(state(1)));
    plain(state(1), false);
    owner_fast.parked = state(1); /* the wrapper's own case */
    CHECK(!lifecycle_attach(state(1)));
    plain(state(1), true);
    CHECK(!lifecycle_attach(state(1)));
    current = state(2); /* of this thread, perhaps */
    CHECK(!lifecycle_attach(state(1)));
    plain(state(1), false);
    is_finalizing = true;
    CHECK(!lifecycle_attach(state(1)));
    CHECK(owner.visits == 7);
}

/* Up to 3.11 the GIL stays held in between. */
static void the_state_is_swapped_out_and_in(void) {
    plain(state(1), true);
    CHECK(lifecycle_swap(NULL) && !owner_is_plain() && !owner_is_settled() && taken_is_without_state(&owner));
    CHECK(owner_fast.parked == state(1) && owner.visits == 8);
    current = NULL;
    CHECK(lifecycle_swap(state(1)) && is_plain() && !taken_is_without_state(&owner) && !owner_fast.parked);
    CHECK(owner.visits == 9);
    plain(state(1), true);
    interp_slot_follows = true;
    CHECK(lifecycle_swap(NULL) && is_plain() && !taken_is_without_state(&owner) && owner_fast.parked == state(1));
    current = NULL;
    CHECK(lifecycle_swap(state(1)) && is_plain() && !owner_fast.parked);
}

/* Each of these between the two, on both kinds of CPython. */
static PyThreadState *comes_in;
static void another_is_attached(void) {
    current = state(3);
}
static void another_comes_in(void) {
    comes_in = state(2);
}
static void another_is_parked(void) {
    owner_fast.parked = state(2);
}
/* From 3.12 on there is nothing to hand over. */
static void gil_is_handed_over(void) {
    taken_by_another();
    if (interp_slot_follows) {
        a_rule_is_asked();
    }
}
static void the_state_is_swapped_in_by_the_rules(void) {
    static void (*const changes[])(void) = {a_rule_is_asked,  others_move_on,    slot_is_taken,     another_is_attached,
                                            another_comes_in, another_is_parked, gil_is_handed_over};
    for (int i = 0; i < 7; i++) {
        for (int follows = 0; follows < 2; follows++) {
            plain(state(1), true);
            interp_slot_follows = follows;
            comes_in = state(1);
            CHECK(lifecycle_swap(NULL));
            current = NULL;
            changes[i]();
            CHECK(!lifecycle_swap(comes_in) && owner_fast.parked && owner.visits == 8);
        }
    }
    /* In the middle of its Clear, which may call anything. */
    plain(state(1), true);
    interp_slot_follows = false;
    owner_unsettle();
    owner_fast.lifecycle_epoch = interp_epoch;
    owner_fast.parked = owner.clearing = state(1);
    current = NULL;
    CHECK(!lifecycle_swap(state(1)));
}

static void nothing_is_swapped_out_that_is_not_attached(void) {
    plain(state(1), false);
    CHECK(!lifecycle_swap(NULL));
    plain(state(1), true);
    owner_fast.parked = state(1);
    CHECK(!lifecycle_swap(NULL) && owner_is_plain());
    plain(state(1), true);
    owner_unsettle();
    CHECK(!lifecycle_swap(NULL) && !taken_is_without_state(&owner));
}

static void the_same_where_calls_are_recorded(void) {
    recorded(NULL, false);
    CHECK(makes(state(1)) && were("made_in_slot") && is_settled_only() && owner_fast.own == state(1));
    CHECK(lifecycle_attach(state(1)));
    current = state(1);
    CHECK(lifecycle_clear(state(1)) && were("clear") && is_settled_only());
    CHECK(lifecycle_swap(NULL) && !owner_is_settled());
    current = NULL;
    CHECK(lifecycle_swap(state(1)) && is_settled_only());
    current = state(1);
    CHECK(lifecycle_delete_current() && were("keys ends delete") && is_settled_only());
}

/* 2.7: it is in the slot, but nobody has looked yet. */
static void what_an_ensure_has_made_is_saved_away(void) {
    plain_unseen(NULL, false);
    slot = current = state(1);
    CHECK(lifecycle_save() && is_plain() && owner_fast.own == state(1) && owner_fast.parked == state(1));
    plain_unseen(NULL, false);
    current = state(2); /* another thread's */
    CHECK(!lifecycle_save() && !owner_fast.parked);
    slot = state(1);
    CHECK(!lifecycle_save() && !owner_fast.own);
    plain_unseen(NULL, false);
    CHECK(!lifecycle_save());
    plain_unseen(state(1), true);
    CHECK(!lifecycle_save()); /* the wrapper's own case */
    plain(state(1), true);
    CHECK(!lifecycle_save());
}

int main(void) {
    real.PyThreadState_New = real_new;
    real.PyThreadState_Clear = real_clear;
    real.PyThreadState_DeleteCurrent = real_delete_current;
    real.PyThreadState_Delete = real_delete;
    RUN(a_state_is_made);
    RUN(the_rules_note_what_was_made_while_something_changed);
    RUN(a_state_is_made_by_the_rules);
    RUN(a_state_is_cleared);
    RUN(a_state_is_cleared_by_the_rules);
    RUN(a_state_is_deleted);
    RUN(a_state_is_deleted_by_the_rules);
    RUN(a_state_that_is_saved_away_is_deleted);
    RUN(a_state_is_attached_for_the_first_time);
    RUN(the_state_is_swapped_out_and_in);
    RUN(the_state_is_swapped_in_by_the_rules);
    RUN(nothing_is_swapped_out_that_is_not_attached);
    RUN(the_same_where_calls_are_recorded);
    RUN(what_an_ensure_has_made_is_saved_away);
    return test_end();
}
