/* two_states.c: when the detach and attach of a second state need not go by the rules, and what they leave behind. No
 * Python is needed: CPython is a slot, an attached state and a count. */
#include "hooks/two_states.h"

#include "cpython/counter.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/call_sites.h"
#include "process/options.h"
#include "rules/nesting.h"
#include "states/plain.h"
#include "test.h"
#include "unjudged.h"

/* ---- the CPython ---- */

uint32_t interp_epoch;
bool interp_slot_follows, interp_ensures_itself, interp_is_debug;
int counter_offset;
struct options options;
struct real real;
bool owner_is_recorded;
__thread struct owner_fast owner_fast;

enum { STATES = 4 };
static int counts[STATES];
static PyThreadState *state(int number) {
    return (PyThreadState *)&counts[number];
}
static PyThreadState *slot, *current;
static bool is_finalizing, is_2_7, is_release, is_end_by_release_thread, is_count_known;
static unsigned counted_as, counted;

bool interp_is_finalizing(void) {
    return is_finalizing;
}
bool counter_is_known(void) {
    return is_count_known;
}
bool slot_goes_by_ident(void) {
    return is_2_7;
}
bool slot_set(PyThreadState *to) {
    slot = to;
    return true;
}
bool nesting_is_release(struct owner *me, const PyThreadState *of, int counter, bool is_release_thread) {
    CHECK(me == owner_fast.record && of == state(2) && counter == counts[2]);
    return is_release && !(is_release_thread && is_end_by_release_thread);
}
bool call_sites_count(unsigned kind, const void *caller) {
    CHECK(caller == &slot);
    counted_as = kind;
    counted++;
    return false;
}

/* ---- the thread ---- */

static struct owner owner;
static struct block blocks[3];
static PyThreadState *const volatile nothing;

/* State 2 is attached, and in the slot in the place of 1; as the rules leave it. */
static void reset(bool is_old) {
    is_2_7 = is_old;
    owner =
        (struct owner){.visits = 7, .override = {.state = state(2), .home = state(1), .as = 3}, .attached = state(2)};
    owner.blocks.items = blocks;
    owner.blocks.count = 1;
    owner.blocks.capacity = 3;
    slot = current = state(2);
    interp_epoch = 5;
    owner_fast = (struct owner_fast){.verified = 5, .record = &owner, .current = &current};
    owner_fast.slot = is_old ? &owner_fast.own : &slot;
    owner_fast.counted = is_old ? &nothing : &slot;
    interp_ensures_itself = is_release = is_count_known = true;
    interp_slot_follows = is_finalizing = owner_is_recorded = is_end_by_release_thread = false;
    options = (struct options){.mode = MODE_REPAIR};
    counts[1] = counts[2] = 4;
    counted = 0;
}
static void begin(bool is_old) {
    reset(is_old);
    two_states_begin(&owner);
}
static bool has_begun(void) {
    two_states_begin(&owner);
    return owner_fast.two_states_epoch == 5;
}
static bool restore(void) {
    return two_states_restore(state(2), false, &slot);
}
static void save(bool is_old) {
    begin(is_old);
    CHECK(two_states_save(NULL));
    current = NULL;
}

/* ---- the tests ---- */

static void it_begins_when_nothing_else_is_pending(void) {
    for (int is_old = 0; is_old < 2; is_old++) {
        reset(is_old);
        CHECK(has_begun());
        reset(is_old);
        owner_is_recorded = true;
        CHECK(!has_begun());
        reset(is_old);
        options.verbosity = 1;
        CHECK(!has_begun());
        reset(is_old);
        owner.attached = NULL;
        CHECK(!has_begun());
        reset(is_old);
        owner.lent.state = state(3);
        CHECK(!has_begun());
        reset(is_old);
        owner.unseen.state = state(3);
        CHECK(!has_begun());
        reset(is_old);
        owner.is_forking = true;
        CHECK(!has_begun());
    }
    reset(false);
    interp_slot_follows = true;
    CHECK(!has_begun());
    reset(false);
    slot = state(1);
    CHECK(!has_begun());
    reset(true);
    interp_ensures_itself = false; /* a preload behind wants to be called */
    CHECK(!has_begun());
    reset(true);
    interp_is_debug = true; /* 2.7 looks at the slot at each attach then */
    CHECK(!has_begun());
    reset(false);
    CHECK(has_begun());
    interp_is_debug = false;
    reset(true);
    is_count_known = false;
    CHECK(!has_begun());
    reset(true);
    owner_fast.current = NULL;
    CHECK(!has_begun());
    reset(true);
    is_2_7 = false; /* just not known where its slot is */
    CHECK(!has_begun());
}

static void the_state_is_saved_and_restored(void) {
    for (int is_old = 0; is_old < 2; is_old++) {
        begin(is_old);
        CHECK(two_states_save(NULL) && owner.visits == 8 && owner.blocks.count == 2);
        CHECK(blocks[1].kind == BLOCK_DETACH && blocks[1].state == state(2));
        CHECK(!owner.override.state && !owner.override.home && !owner.attached);
        CHECK(slot == (is_old ? state(2) : state(1)) && owner_fast.two_states_is_late == is_old);
        current = state(3); /* another thread's */
        CHECK(restore() && owner.visits == 9 && owner.blocks.count == 1);
        CHECK(owner.override.state == state(2) && owner.override.home == state(1) && owner.attached == state(2));
        CHECK(slot == state(2) && !owner_fast.two_states_is_late && counted == 1 && counted_as == 3);
        current = state(2);
        CHECK(two_states_save(NULL));
    }
}

static void by_acquire_and_release_too(void) {
    begin(false);
    CHECK(!two_states_save(state(1)));
    is_end_by_release_thread = true;
    CHECK(!two_states_save(state(2)) && slot == state(2));
    is_end_by_release_thread = false;
    CHECK(two_states_save(state(2)));
    current = NULL;
    owner.answer.state = state(2);
    owner.answer.at = owner.visits; /* the library asked just now: its own block begins */
    CHECK(!two_states_restore(state(2), true, &slot));
    owner.answer.at--;
    CHECK(two_states_restore(state(2), true, &slot));
}

static void it_is_not_saved(void) {
    for (int is_old = 0; is_old < 2; is_old++) {
        reset(is_old);
        CHECK(!two_states_save(NULL)); /* not begun */
        begin(is_old);
        interp_epoch++;
        CHECK(!two_states_save(NULL));
        begin(is_old);
        current = state(1);
        CHECK(!two_states_save(NULL));
        begin(is_old);
        owner.attached = NULL;
        CHECK(!two_states_save(NULL));
        begin(is_old);
        is_release = false;
        CHECK(!two_states_save(NULL));
        begin(is_old);
        owner.blocks.count = owner.blocks.capacity;
        CHECK(!two_states_save(NULL));
        CHECK(owner.override.state == state(2) && slot == state(2) && owner.visits == 7 &&
              !owner_fast.two_states_is_late);
        save(is_old);
        CHECK(!two_states_save(NULL));
    }
    begin(false);
    slot = state(1);
    CHECK(!two_states_save(NULL));
}

static void it_is_not_restored(void) {
    for (int is_old = 0; is_old < 2; is_old++) {
        save(is_old);
        interp_epoch++;
        CHECK(!restore());
        save(is_old);
        CHECK(!two_states_restore(state(1), false, &slot) && !two_states_restore(NULL, false, &slot));
        is_finalizing = true;
        CHECK(!restore());
        save(is_old);
        current = state(2);
        CHECK(!restore());
        save(is_old);
        current = state(1);
        CHECK(!restore());
        save(is_old);
        counts[2]++;
        CHECK(!restore());
        CHECK(owner.blocks.count == 2 && !owner.override.state && !counted && owner.visits == 8);
    }
    save(false);
    slot = state(3);
    CHECK(!restore());
    save(true);
    two_states_move_late();
    CHECK(slot == state(1) && !owner_fast.two_states_is_late && !restore());
    two_states_move_late();
    CHECK(slot == state(1));
}

/* The wrappers look at the slot for it; on 2.7 at the record. */
static void an_ensure_need_only_count(void) {
    begin(true);
    CHECK(plain_counted() == state(2));
    CHECK(two_states_save(NULL) && !plain_counted());
    begin(true);
    current = state(1);
    CHECK(!plain_counted());
    begin(true);
    interp_epoch++;
    CHECK(!plain_counted());
    reset(true);
    CHECK(!plain_counted());
    begin(false);
    CHECK(plain_counted() == state(2));
}

int main(void) {
    RUN(it_begins_when_nothing_else_is_pending);
    RUN(the_state_is_saved_and_restored);
    RUN(by_acquire_and_release_too);
    RUN(it_is_not_saved);
    RUN(it_is_not_restored);
    RUN(an_ensure_need_only_count);
    return test_end();
}
