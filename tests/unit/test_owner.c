/* owner.c with a CPython that consists of a slot per thread and a current state. No Python is needed. */
#include "cpython/bound.h"
#include "states/owner.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpython/counter.h"
#include "cpython/slot.h"
#include "hooks/two_states.h"
#include "process/options.h"
#include "states/dead_states.h"
#include "states/fork_states.h"
#include "states/owner_pool.h"
#include "states/registry.h"
#include "system/signal_stack.h"
#include "test.h"

/* ---- the CPython ---- */

void signal_stack_give(void) {
}

uint32_t interp_epoch = 1;
bool interp_slot_follows;
bool interp_ensures_itself;
bool interp_is_over;
bool interp_end_is_watched;
static int watched;
void interp_watch_end(void (*ended)(void)) {
    interp_end_is_watched = true;
    watched += ended != NULL;
}
bool interp_is_debug;
static PyThreadState *current;
static __thread PyThreadState *slot;
static bool slot_is_thread_local; /* 3.15 */
static const PyThreadState *dead_after_fork;

uint32_t interp_next_epoch(void) {
    return __atomic_add_fetch(&interp_epoch, 1, __ATOMIC_ACQ_REL);
}
PyThreadState *interp_current(void) {
    return current;
}
bool counter_is_known(void) {
    return true;
}
int counter_read(const PyThreadState *state) {
    return state ? 2 : COUNTER_UNKNOWN;
}
bool interp_is_there(void) {
    return true;
}

bool interp_is_finalizing(void) {
    return false;
}
void counter_learn(PyThreadState *attached) {
    (void)attached;
}
void current_learn(PyThreadState *attached) {
    CHECK(attached == current);
}
void fork_states_hide(const PyThreadState *attached, const struct list *blocks, PyThreadState *home) {
    CHECK(attached == current && blocks && (home || !home));
}
void fork_states_show(void) {
}
void fork_states_forget(void) {
}
void interp_learn_from(const PyThreadState *attached) {
    CHECK(attached == current);
}
current_place *current_find(void) {
    return &current;
}
slot_place *slot_find(const PyThreadState *in_slot) {
    CHECK(in_slot == slot);
    return &slot;
}
bool interp_is_alive(const PyThreadState *state) {
    return state != dead_after_fork;
}
PyThreadState *slot_get(void) {
    return slot;
}
bool slot_goes_by_ident(void) {
    return false;
}
void slot_learn(void) {
}
const void *slot_in_tls(void) {
    return slot_is_thread_local ? &slot : NULL;
}
bool bound_is_wanted(void) {
    return false;
}
bool bound_is_wanted_in_turn(void) {
    return false;
}
void bound_learn(PyThreadState *attached) {
    (void)attached;
}
void slot_thread_ends(void) {
}
static PyThreadState *set_last;
bool slot_set(PyThreadState *state) {
    slot = set_last = state;
    return true;
}

/* two_states.c itself is tried by whole programs. */
static const struct owner *begun_as_second;
void two_states_begin(struct owner *me) {
    begun_as_second = me;
}

static char memory[64 * 16];
static PyThreadState *state(int number) {
    return (PyThreadState *)&memory[number * 16];
}

static void save(struct owner *me, PyThreadState *what) {
    CHECK(blocks_push(&me->blocks, BLOCK_DETACH, what) != NULL);
}
static void restore(struct owner *me, PyThreadState *what) {
    blocks_remove(&me->blocks, blocks_find(&me->blocks, BLOCK_DETACH, what));
}
static bool is_saved(struct owner *me, PyThreadState *what) {
    return blocks_find(&me->blocks, BLOCK_DETACH, what) != NULL;
}

/* Runs `body` on a thread of its own, as every test here: each begins with a thread that was never seen. */
static void *call(void *body) {
    ((void (*)(void))body)();
    return NULL;
}
static void on_new_thread(void (*body)(void)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, call, (void *)body) == 0);
    pthread_join(thread, NULL);
}

/* ---- the tests ---- */

static void one_state_body(void) {
    slot = current = state(1);
    CHECK(!owner_is_plain());
    struct owner *me = owner_enter();
    CHECK(me && owner_self() == me && owner_attached(me) == state(1));
    CHECK(!owner_is_plain());
    owner_leave(me);
    CHECK(owner_is_plain() && owner_fast.own == state(1) && !owner_fast.parked);

    /* Saved away: still plain, and the record gets it back on the next way in. */
    me = owner_enter();
    save(me, state(1));
    current = NULL;
    owner_leave(me);
    CHECK(owner_is_plain() && owner_fast.parked == state(1));
    me = owner_enter();
    CHECK(is_saved(me, state(1)) && owner_last_saved(me) == state(1));
    restore(me, state(1));
    CHECK(!is_saved(me, state(1)) && !owner_last_saved(me));
    current = state(1);
    owner_leave(me);
    CHECK(owner_is_plain());

    /* Something happened elsewhere: look again. */
    interp_next_epoch();
    CHECK(!owner_is_plain());
    current = NULL;
}
static void a_thread_with_one_state_is_plain(void) {
    on_new_thread(one_state_body);
}

/* The wrappers of a plain thread do not notice the end of the interpreter, so that it has to be told of first. */
static void interpreter_ended(void) {
}
static void unwatched_body(void) {
    owner_interpreter_ended = interpreter_ended;
    interp_end_is_watched = false;
    watched = 0;
    owner_leave(owner_enter()); /* nothing is attached */
    CHECK(!owner_is_plain() && !watched);
    slot = current = state(1);
    owner_leave(owner_enter());
    CHECK(owner_is_plain() && watched == 1);
    owner_leave(owner_enter());
    CHECK(watched == 1);
    owner_interpreter_ended = NULL;
    slot = current = NULL;
}
static void no_thread_is_plain_until_the_end_is_watched(void) {
    on_new_thread(unwatched_body);
}

static void two_states_body(void) {
    slot = state(1);
    struct owner *me = owner_enter();
    save(me, state(1));
    save(me, state(2));
    owner_leave(me);
    CHECK(!owner_is_plain());
    me = owner_enter();
    CHECK(owner_last_saved(me) == state(2));
    restore(me, state(1));
    owner_leave(me);
    CHECK(!owner_is_plain()); /* state 2 is saved away, but the slot names 1 */
    me = owner_enter();
    restore(me, state(2));
    me->attached = current = state(2);
    CHECK(owner_attached(me) == state(2));
    owner_leave(me);
    CHECK(!owner_is_plain()); /* state 2 is attached, but the slot names 1 */
    me = owner_enter();
    current = NULL;
    owner_leave(me);
    CHECK(owner_is_plain());
}
static void a_thread_with_two_states_is_not(void) {
    on_new_thread(two_states_body);
}

/* Where the slot was moved to the second state, the rules may give way to two_states.c; never while something is pending. */
static void moved_slot_body(void) {
    slot = state(1);
    struct owner *me = owner_enter();
    me->override.home = state(1);
    me->override.state = me->attached = slot = current = state(2);
    begun_as_second = NULL;
    me->clearing = state(3);
    owner_leave(me);
    CHECK(!begun_as_second && !owner_is_plain());
    me = owner_enter();
    me->clearing = NULL;
    owner_leave(me);
    CHECK(begun_as_second == me && !owner_is_plain());
    current = NULL;
}
static void a_thread_whose_slot_was_moved_is_no_plain_one(void) {
    on_new_thread(moved_slot_body);
}

/* Blocks over a held GIL keep a thread from being plain; so does a state that was attached unseen. */
static void open_blocks_body(void) {
    slot = current = state(1);
    struct owner *me = owner_enter();
    blocks_push(&me->blocks, BLOCK_OVER, state(1));
    owner_leave(me);
    CHECK(!owner_is_plain());
    blocks_remove(&me->blocks, blocks_top(&me->blocks));
    blocks_push(&me->blocks, BLOCK_DETACH, state(1))->is_foreign = true;
    owner_leave(me);
    CHECK(!owner_is_plain());
    blocks_top(&me->blocks)->is_foreign = false;
    owner_leave(me);
    CHECK(owner_is_plain() && me->blocks.count == 0);
    /* An Ensure of a plain thread leaves no block: it is seen by the state that is attached although it was saved. */
    CHECK(owner_fast.parked == state(1));
    me = owner_enter();
    CHECK(me->blocks.count == 2 && blocks_top(&me->blocks)->kind == BLOCK_ATTACH);
    CHECK(blocks_top(&me->blocks)->by == BLOCK_BY_ENSURE && blocks_top(&me->blocks)->counter == 1);
    CHECK(owner_last_saved(me) == state(1));
    owner_leave(me);
    CHECK(owner_is_plain() && owner_fast.parked == state(1));
    current = NULL;
}
static void open_blocks_are_not_plain(void) {
    on_new_thread(open_blocks_body);
}

static void current_of_others_body(void) {
    slot = state(1);
    current = state(9); /* another thread holds the GIL */
    struct owner *me = owner_enter();
    CHECK(owner_attached(me) == NULL);
    owner_take(me, state(9));
    CHECK(owner_attached(me) == state(9));
    interp_slot_follows = true; /* from 3.12 on it can only be ours */
    registry_remove(state(9));
    CHECK(owner_attached(me) == state(9));
    interp_slot_follows = false;
    CHECK(owner_attached(me) == NULL);
    current = NULL;
}
static void another_threads_state_is_not_taken_for_ours(void) {
    on_new_thread(current_of_others_body);
}

enum { MANY = 1000 };
static void many_body(void) {
    struct owner *me = owner_enter();
    static char far_away[MANY];
    for (int i = 0; i < MANY; i++) {
        save(me, (PyThreadState *)&far_away[i]);
        struct owner_filed *filed = owner_demand_filed(me, &far_away[i]);
        CHECK(filed && !filed->state);
        filed->state = (PyThreadState *)&far_away[i];
    }
    for (int i = MANY - 1; i >= 0; i--) {
        PyThreadState *expected = (PyThreadState *)&far_away[i];
        CHECK(owner_last_saved(me) == expected);
        restore(me, expected);
        CHECK(owner_find_filed(me, &far_away[i])->state == expected);
        CHECK(owner_demand_filed(me, &far_away[i])->state == expected);
    }
    CHECK(!blocks_top(&me->blocks) && !owner_find_filed(me, me));
}
static void lists_grow(void) {
    on_new_thread(many_body);
}

static void death_body(void) {
    struct owner *me = owner_enter();
    registry_add(state(3), NULL, 0, false, 0);
    owner_take(me, state(3));
    struct registry_entry entry;
    CHECK(registry_find(state(3), &entry) && entry.owner == me);
    me->attached = me->override.home = state(3);
    save(me, state(3));
    blocks_push(&me->blocks, BLOCK_OVER, state(4))->beneath = state(3);
    blocks_push(&me->blocks, BLOCK_OVER, state(3));
    owner_state_ends(me, state(3), false);
    owner_state_ended(me, state(3));
    CHECK(!me->attached && !me->override.home && !is_saved(me, state(3)));
    CHECK(me->blocks.count == 1 && blocks_top(&me->blocks)->state == state(4));
    CHECK(blocks_top(&me->blocks)->is_beneath_lost);
    CHECK(!registry_find(state(3), &entry));
    owner_state_ends(me, state(5), true);
    owner_state_ended(me, state(5));
    CHECK(registry_find(state(5), &entry) && entry.is_dead);
    registry_remove(state(5));
}
static void a_dead_state_is_nowhere_any_more(void) {
    on_new_thread(death_body);
}

/* Two threads take turns: A has the state, B takes it. */
static pthread_barrier_t turn;
static void taker_body(void) {
    pthread_barrier_wait(&turn); /* A has it */
    struct owner *me = owner_enter();
    owner_take(me, state(6));
    struct registry_entry entry;
    CHECK(registry_find(state(6), &entry) && entry.owner == me && entry.has_moved);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has looked */
}
static void loser_body(void) {
    slot = current = state(6);
    struct owner *me = owner_enter();
    owner_take(me, state(6));
    me->attached = state(6);
    current = NULL;
    save(me, state(6));
    owner_leave(me);
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B took it */
    CHECK(!owner_is_plain());
    me = owner_enter();
    CHECK(slot == NULL);
    CHECK(!is_saved(me, state(6)) && !owner_last_saved(me));
    owner_leave(me);
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
}
static void a_moved_state_leaves_its_old_thread(void) {
    pthread_t a, b;
    pthread_barrier_init(&turn, NULL, 2);
    pthread_create(&a, NULL, call, (void *)loser_body);
    pthread_create(&b, NULL, call, (void *)taker_body);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    struct registry_entry entry;
    CHECK(registry_find(state(6), &entry) && !entry.owner &&
          entry.has_moved); /* the thread that had it last has ended */
}

/* A has the state in its slot; B takes it, and gives it up. */
/* Made by another thread, or taken from one: this one is not alone with it, unless CPython has it in its slot. */
static void guest_body(void) {
    struct owner *me = owner_enter();
    CHECK(owner_state_made(state(5), false) == false && !owner_is_guest(me, state(5)));
    CHECK(!owner_take(me, state(5)) && !owner_is_guest(me, state(5)));
    CHECK(owner_take(me, state(4)) && owner_is_guest(me, state(4)));
    CHECK(owner_take(me, state(6)) && owner_is_guest(me, state(6)));
    slot = state(6);
    CHECK(!owner_is_guest(me, state(6)));
    me->override.state = state(6);
    me->override.is_guest = true;
    CHECK(owner_is_guest(me, state(6)));
    me->override.state = slot = NULL;
}
static void what_others_use_in_turn_is_a_guest(void) {
    owner_state_made(state(4), false); /* by this thread, for the other one */
    on_new_thread(guest_body);         /* state 6: where it was made was not seen */
    registry_clear();
}

static void giver_body(void) {
    struct registry_entry entry;
    pthread_barrier_wait(&turn); /* A has it */
    struct owner *me = owner_enter();
    owner_take(me, state(6));
    me->override.state = slot = current = state(6);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has looked */
    owner_give_up(me, state(6)); /* attached */
    CHECK(registry_find(state(6), &entry) && entry.owner == me);
    current = NULL;
    save(me, state(6));
    owner_give_up(me, state(6)); /* in the slot */
    CHECK(registry_find(state(6), &entry) && entry.owner == me);
    me->override.state = slot = NULL;
    owner_leave(me);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has not taken what is only saved */
    me = owner_enter();
    owner_give_up(me, state(6));
    CHECK(registry_find(state(6), &entry) && !entry.owner && entry.is_given_up);
    owner_leave(me);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has it again */
    me = owner_enter();
    CHECK(!is_saved(me, state(6)) && !owner_last_saved(me) && me->lent.state == state(6));
    owner_leave(me);
}
static struct owner *begins_and_lends(void) {
    slot = state(6);
    owner_leave(owner_enter());
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B took it */
    struct owner *me = owner_enter();
    CHECK(slot == NULL && me->lent.state == state(6));
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B saved it */
    owner_leave(me);
    CHECK(owner_is_plain());
    owner_unsettle();
    me = owner_enter();
    CHECK(slot == NULL && me->lent.state == state(6));
    return me;
}
static void lender_body(void) {
    struct registry_entry entry;
    owner_leave(begins_and_lends());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B gave it up */
    CHECK(!owner_is_plain());
    struct owner *me = owner_enter();
    CHECK(slot == state(6) && !me->lent.state);
    CHECK(registry_find(state(6), &entry) && entry.owner == me && !entry.is_given_up);
    owner_leave(me);
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
    slot = NULL;
}
/* One that has another state meanwhile gets it back when that is gone, and is not plain until then. */
static void busy_lender_body(void) {
    struct owner *me = begins_and_lends();
    registry_add(state(9), NULL, 0, false, 0);
    slot = state(9);
    owner_take(me, state(9));
    owner_leave(me);
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B gave it up */
    me = owner_enter();
    CHECK(slot == state(9) && me->lent.state == state(6));
    owner_leave(me);
    CHECK(!owner_is_plain());
    me = owner_enter();
    owner_state_ends(me, state(9), false);
    slot = NULL;
    owner_state_ended(me, state(9));
    me = owner_enter();
    CHECK(slot == state(6) && !me->lent.state);
    owner_leave(me);
    CHECK(owner_is_plain());
    pthread_barrier_wait(&turn);
    slot = NULL;
}
/* B gives it up before A looks: it is in A's slot all the time. */
static void early_giver_body(void) {
    pthread_barrier_wait(&turn); /* A has it */
    struct owner *me = owner_enter();
    owner_take(me, state(6));
    save(me, state(6));
    owner_give_up(me, state(6));
    owner_leave(me);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has looked */
    me = owner_enter();
    CHECK(!is_saved(me, state(6)));
    owner_leave(me);
}
static void late_lender_body(void) {
    struct registry_entry entry;
    slot = state(6);
    owner_leave(owner_enter());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B gave it up */
    struct owner *me = owner_enter();
    CHECK(slot == state(6) && !me->lent.state);
    CHECK(registry_find(state(6), &entry) && entry.owner == me);
    owner_leave(me);
    pthread_barrier_wait(&turn);
    slot = NULL;
}
/* Neither ends, which would remove what is known of its states, before the other is through. */
static void *takes_part(void *body) {
    call(body);
    pthread_barrier_wait(&turn);
    return NULL;
}
static void lend_and_give_up(void (*lender)(void), void (*giver)(void)) {
    pthread_t a, b;
    pthread_barrier_init(&turn, NULL, 2);
    pthread_create(&a, NULL, takes_part, (void *)lender);
    pthread_create(&b, NULL, takes_part, (void *)giver);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    registry_clear();
}
static void a_state_that_was_given_up_comes_back(void) {
    lend_and_give_up(lender_body, giver_body);
    lend_and_give_up(busy_lender_body, giver_body);
    lend_and_give_up(late_lender_body, early_giver_body);
}

/* It died, and another one at its address was given up: that is not the lent one. */
static void killer_body(void) {
    pthread_barrier_wait(&turn); /* A has it */
    struct owner *me = owner_enter();
    owner_take(me, state(6));
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has looked */
    owner_state_ends(me, state(6), false);
    owner_state_ended(me, state(6));
    owner_take(me, state(6)); /* its making was not seen */
    registry_take(state(6), me, interp_epoch, true);
    save(me, state(6));
    owner_give_up(me, state(6));
    struct registry_entry entry;
    CHECK(registry_find(state(6), &entry) && entry.is_given_up);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* A has looked again */
}
static void bereaved_body(void) {
    slot = state(6);
    owner_leave(owner_enter());
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* B took it */
    struct owner *me = owner_enter();
    CHECK(slot == NULL && me->lent.state == state(6));
    owner_leave(me);
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn); /* another one has been given up */
    me = owner_enter();
    CHECK(slot == NULL && !me->lent.state);
    owner_leave(me);
    pthread_barrier_wait(&turn);
}
static void a_lent_state_that_died_is_forgotten(void) {
    lend_and_give_up(bereaved_body, killer_body);
}

static void life_body(void) {
    slot = current = state(7);
    struct owner *me = owner_enter();
    owner_take(me, state(7));
    save(me, state(8));
    blocks_push(&me->blocks, BLOCK_OVER, state(8));
    owner_demand_filed(me, &turn);
    current = NULL;
    owner_leave(me);
    owner_new_life();
    CHECK(!owner_is_plain() && registry_count() == 0);
    slot = NULL;
    me = owner_enter();
    CHECK(me->blocks.count == 0 && me->filed.count == 0 && !me->attached && !me->override.home);
    owner_leave(me);
    CHECK(owner_is_plain() && !owner_fast.own);
}
static void a_new_interpreter_begins_with_empty_records(void) {
    on_new_thread(life_body);
}

/* Keys die with the interpreter, 3.15's thread-local does not. */
static void stale_slot_body(void) {
    slot_is_thread_local = true;
    slot = current = state(11);
    owner_leave(owner_enter());
    owner_new_life();
    current = state(12); /* of another thread that holds the GIL */
    owner_leave(owner_enter());
    CHECK(!slot);
    owner_new_life();
    slot = current = state(12); /* who initialized it */
    owner_leave(owner_enter());
    CHECK(slot == state(12));
    slot_is_thread_local = false;
    owner_new_life();
    current = NULL;
    owner_leave(owner_enter());
    CHECK(slot == state(12));
}
static void a_slot_of_a_former_life_is_emptied(void) {
    on_new_thread(stale_slot_body);
}

/* A library's key whose destructor calls in late, after ours may have run for the last time. */
static pthread_key_t late_key;
static int late_calls;
static void late_destructor(void *argument) {
    struct owner *me = owner_enter();
    if (me) {
        save(me, state(10));
        restore(me, state(10));
        owner_leave(me);
    }
    late_calls++;
    if (late_calls < 4)
        pthread_setspecific(late_key, argument);
}
static void process_exit_body(void) {
    pthread_setspecific(late_key, &late_key);
    struct owner *me = owner_enter();
    owner_take(me, state(10));
    owner_leave(me);
}
static void destructors_may_still_call(void) {
    CHECK(pthread_key_create(&late_key, late_destructor) == 0);
    on_new_thread(process_exit_body);
    CHECK(late_calls >= 2);
    struct registry_entry entry;
    CHECK(registry_find(state(10), &entry) && !entry.owner);
    pthread_key_delete(late_key);
}

/* Records and what they registered end with their threads: memory does not grow. */
static void churn_body(void) {
    slot = state(11);
    for (int i = 0; i < 20; i++) {
        struct owner *me = owner_enter();
        owner_take(me, (PyThreadState *)&me->blocks);
        save(me, state(12));
        owner_demand_filed(me, &turn);
        restore(me, state(12));
        owner_leave(me);
    }
}
static long resident_pages(void) {
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return resident;
}
static void nothing_is_left_of_threads(void) {
    for (int i = 0; i < 200; i++)
        on_new_thread(churn_body);
    long before = resident_pages();
    uint32_t states = registry_count(); /* they have moved, and live on */
    for (int i = 0; i < 3000; i++)
        on_new_thread(churn_body);
    CHECK(registry_count() == states);
    CHECK(resident_pages() - before < 64);
}

static void *churn_for_ever(void *unused) {
    for (;;)
        on_new_thread(churn_body);
    return unused;
}
static void in_the_child_of_a_fork(void) {
    static pthread_t threads[2];
    slot = state(13);
    struct owner *me = owner_enter();
    owner_take(me, state(13));
    save(me, state(14));
    save(me, state(15));
    owner_leave(me);
    uint32_t left = registry_count() + 4; /* of threads that have ended */
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, churn_for_ever, NULL);
        pthread_detach(threads[i]);
    }
    for (int i = 0; i < 100; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            test_faults = 0;
            CHECK(me->has_forked && !owner_is_plain());
            CHECK(registry_count() <= left + 1); /* other threads' are gone with them */
            me = owner_enter();
            CHECK(me->has_forked && owner_last_saved(me) == NULL); /* nothing is proven without the GIL */
            dead_after_fork = state(15);
            current = state(13);
            me = owner_enter();
            CHECK(!me->has_forked && owner_last_saved(me) == state(14) && !is_saved(me, state(15)));
            owner_leave(me);
            on_new_thread(churn_body);
            fflush(stdout);
            _exit(test_faults != 0);
        }
        int status;
        CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    }
    CHECK(!me->has_forked);
}

/* 2.7: two_states.c has left the slot where it was. */
static void leave_slot(void) {
    CHECK(owner_enter() != NULL);
    owner_fast.two_states_is_late = true;
    owner_fast.two_states_home = state(1);
    slot = set_last = state(2);
}
static void late_slot_body(void) {
    leave_slot();
    owner_leave(owner_enter());
    CHECK(slot == state(1) && !owner_fast.two_states_is_late);
    /* What it held in a former life of the interpreter has been freed. */
    leave_slot();
    owner_new_life();
    CHECK(owner_enter() && slot == state(2) && !owner_fast.two_states_is_late);
    leave_slot(); /* and the thread ends */
}
static void late_slot_in_fork_body(void) {
    leave_slot();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        _exit(slot != state(1)); /* nobody may move it here */
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0 && slot == state(1));
}
static void a_slot_that_is_late_is_moved(void) {
    on_new_thread(late_slot_body);
    CHECK(set_last == state(1));
    on_new_thread(late_slot_in_fork_body);
}

/* It keeps memory of its own for each thread, and hangs if one is born during a fork. */
#ifdef __SANITIZE_ADDRESS__
enum { under_asan = 1 };
#else
enum { under_asan = 0 };
#endif

/* As fork.c does it, which knows of ld.so and CPython, too: no lock is held by a thread that is not there in the child. */
static void before_fork(void) {
    owner_pool_before_fork();
    registry_before_fork();
    dead_states_before_fork();
}
static void after_fork(void) {
    dead_states_after_fork();
    registry_after_fork();
    owner_pool_after_fork();
}

int main(void) {
    alarm(200);
    options_default(&options);
    CHECK(pthread_atfork(before_fork, after_fork, after_fork) == 0 && owner_start());
    RUN(a_thread_with_one_state_is_plain);
    RUN(no_thread_is_plain_until_the_end_is_watched);
    RUN(a_thread_with_two_states_is_not);
    RUN(a_thread_whose_slot_was_moved_is_no_plain_one);
    RUN(open_blocks_are_not_plain);
    RUN(another_threads_state_is_not_taken_for_ours);
    RUN(lists_grow);
    RUN(a_dead_state_is_nowhere_any_more);
    RUN(a_moved_state_leaves_its_old_thread);
    RUN(what_others_use_in_turn_is_a_guest);
    RUN(a_state_that_was_given_up_comes_back);
    RUN(a_lent_state_that_died_is_forgotten);
    RUN(a_new_interpreter_begins_with_empty_records);
    RUN(a_slot_of_a_former_life_is_emptied);
    RUN(destructors_may_still_call);
    RUN(a_slot_that_is_late_is_moved);
    if (!under_asan) {
        RUN(nothing_is_left_of_threads);
        RUN(in_the_child_of_a_fork);
    }
    return test_end();
}
