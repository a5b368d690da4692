#include "states/owner.h"

#include <pthread.h>

#include "cpython/bound.h"
#include "cpython/counter.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "states/dead_states.h"
#include "states/fork_states.h"
#include "states/late_slot.h"
#include "states/owner_pool.h"
#include "states/registry.h"
#include "states/taken.h"
#include "system/list.h"
#include "system/signal_stack.h"

__thread struct owner_fast owner_fast __attribute__((tls_model("initial-exec")));
uint32_t owner_life = 1;
bool owner_is_recorded;
void (*owner_before_end)(struct owner *me, bool is_last);
void (*owner_interpreter_ended)(void);
void (*owner_without_record)(void);

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* An empty slot. */
static PyThreadState *const volatile nothing;

static pthread_key_t exit_key;
static bool can_track;

/* Runs at the end of a thread. Other libraries' destructors may still call the API after this one, so it asks to be run
 * again until the last round but one (PTHREAD_DESTRUCTOR_ITERATIONS is 4). */
static void thread_ends(void *argument) {
    struct owner *record = argument;
    two_states_move_late();
    if (owner_before_end && record->exit_rounds == 0) {
        owner_before_end(record, false);
    }
    if (record->exit_rounds++ < 2 && pthread_setspecific(exit_key, record) == 0) {
        return;
    }
    if (owner_before_end) {
        owner_before_end(record, true);
    }
    slot_thread_ends();
    owner_unsettle();
    owner_fast.record = NULL;
    owner_fast.is_gone = true;
    owner_fast.counted = &nothing;
    if (owner_fast.is_watched) { /* otherwise it never had an entry; the search goes through the whole table */
        registry_leave_owner(record, owner_number());
    }
    owner_pool_put(record);
}

/* Allocates all that a record needs, or nothing: the rules cannot work with half a record. */
static struct owner *take_record(void) {
    struct owner *record = owner_pool_take();
    if (!record) {
        return NULL;
    }
    if (!list_reserve(&record->blocks, sizeof(struct block)) ||
        !list_reserve(&record->filed, sizeof(struct owner_filed)) || !registry_reserve() ||
        pthread_setspecific(exit_key, record) != 0) {
        owner_pool_put(record);
        return NULL;
    }
    record->life = owner_life;
    signal_stack_give();
    return record;
}

static struct owner *demand_record(void) {
    struct owner *record = owner_fast.record;
    if (record || owner_fast.is_gone || !can_track) {
        return record;
    }
    record = take_record();
    if (!record && owner_without_record) {
        owner_without_record();
    }
    owner_fast.record = record;
    return record;
}

/* ---- fork ------------------------------------------------------------------------------------------------------- */

/* In the child only the forking thread is left. These handlers run before PyOS_AfterFork_Child, so no state is freed
 * yet. */
static void after_fork_in_child(void) {
    dead_states_forget(); /* CPython frees them with the states of the other threads */
    owner_pool_put_others(owner_fast.record);
    if (owner_fast.record) {
        owner_forked(owner_fast.record);
    }
    interp_next_epoch();
}

void owner_forked(struct owner *me) {
    /* 2.7 frees no state. Reading the slot there may wait for ever: the lock over the slots (keymutex, thread.c) may
     * have been held by another thread at the fork, and PyOS_AfterFork makes it anew only later. */
    if (options.mode == MODE_REPAIR && interp_is_there() && !slot_goes_by_ident()) {
        fork_states_hide(owner_attached(me), &me->blocks, me->override.home);
    }
    me->lent.state = NULL; /* the thread that uses it is not in the child */
    me->has_forked = true;
    owner_fast.counted = &nothing;
    owner_unsettle();
}

/* two_states_move_late runs before the fork, because in the child CPython's lock on its slots may be held. */
bool owner_start(void) {
    can_track = pthread_key_create(&exit_key, thread_ends) == 0 &&
                pthread_atfork(two_states_move_late, NULL, after_fork_in_child) == 0;
    return can_track;
}

/* ---- lists ------------------------------------------------------------------------------------------------------ */

#define FILED(me) ((struct owner_filed *)(me)->filed.items)

void owner_note_answer(struct owner *me, PyThreadState *state) {
    me->answer.state = state;
    me->answer.at = me->visits;
}

bool owner_was_just_told(const struct owner *me, const PyThreadState *state) {
    return me->answer.state == state && me->visits == me->answer.at + 1;
}

PyThreadState *owner_last_saved(struct owner *me) {
    const struct block *block = me->has_forked ? NULL : blocks_last_detached(&me->blocks);
    return block ? block->state : NULL;
}

PyThreadState *owner_last_own_saved(struct owner *me) {
    const struct block *block = me->has_forked ? NULL : blocks_last_own_detached(&me->blocks);
    return block ? block->state : NULL;
}

struct owner_filed *owner_find_filed(struct owner *me, const void *key) {
    for (uint32_t i = 0; i < me->filed.count; i++) {
        if (FILED(me)[i].key == key) {
            return &FILED(me)[i];
        }
    }
    return NULL;
}

struct owner_filed *owner_demand_filed(struct owner *me, const void *key) {
    struct owner_filed *filed = owner_find_filed(me, key);
    if (!filed) {
        filed = list_push(&me->filed, sizeof *filed);
        if (filed) {
            filed->key = key;
        }
    }
    return filed;
}

bool owner_files(const struct owner *me, const PyThreadState *state) {
    for (uint32_t i = 0; i < me->filed.count; i++) {
        if (FILED(me)[i].state == state) {
            return true;
        }
    }
    return false;
}

/* ---- the truth -------------------------------------------------------------------------------------------------- */

struct owner *owner_self(void) {
    return owner_fast.record;
}

PyThreadState *owner_attached(struct owner *me) {
    PyThreadState *current = interp_current();
    if (!current || interp_slot_follows) {
        return current;
    }
    if (current == me->attached || current == me->override.state || current == slot_get()) {
        return current;
    }
    struct registry_entry entry;
    return registry_find(current, &entry) && entry.owner == me ? current : NULL;
}

static bool is_news(uint32_t epoch) {
    return (int32_t)(epoch - owner_fast.verified) > 0;
}

uint32_t owner_tell_others(void) {
    uint32_t epoch = interp_next_epoch();
    /* What this thread knows is true, unless others did something since it last checked. */
    if (epoch == owner_fast.verified + 1) {
        owner_fast.verified = epoch;
    }
    return epoch;
}

/* Returns true if `state` was taken by another thread, or was freed (and another one perhaps made in its place), since
 * this thread last checked. A thread that never checked cannot have lost anything: if a state in its slot has an
 * address that is known as dead or taken, it is a later state at the same address. */
static bool is_lost(const struct owner *me, const PyThreadState *state) {
    struct registry_entry entry;
    if (!state || !owner_fast.verified || state == me->clearing) {
        return false;
    }
    bool is_known = registry_find(state, &entry);
    bool is_anothers = is_known && entry.owner && entry.owner != me && is_news(entry.taken);
    return is_anothers || (entry.owner != me && entry.died && is_news(entry.died));
}

/* Takes out of the blocks every state that is no longer this thread's. */
static void check_blocks(struct owner *me, bool (*is_gone)(const struct owner *me, const PyThreadState *state),
                         void (*drop)(struct list *blocks, const PyThreadState *state)) {
    for (uint32_t i = me->blocks.count; i-- > 0;) {
        struct block block = ((struct block *)me->blocks.items)[i];
        if (!block.is_beneath_lost && block.beneath && is_gone(me, block.beneath)) {
            drop(&me->blocks, block.beneath);
        }
        if (is_gone(me, block.state)) {
            drop(&me->blocks, block.state);
        }
        i = i < me->blocks.count ? i : me->blocks.count; /* drop() may have removed other blocks, too */
    }
}

/* Returns the state that this thread had until now: the state in its slot if nothing is attached, or a detached one. */
static PyThreadState *own_so_far(struct owner *me, PyThreadState *in_slot) {
    if (me->override.state) {
        return me->override.home || me->override.is_guest ? me->override.home : me->override.state;
    }
    return in_slot ? in_slot : owner_last_own_saved(me);
}

/* Called when `state` is lost. If it has moved to another thread, it may come back. */
static void lend(struct owner *me, PyThreadState *state, const PyThreadState *in_slot) {
    struct registry_entry entry;
    bool is_alive = registry_find(state, &entry) && !entry.is_dead;
    me->lent.state = is_alive ? state : NULL;
    me->lent.birth = entry.birth;
    me->lent.at = entry.taken;
    me->lent.was_home = state == (me->override.state ? me->override.home : in_slot);
}

/* Takes back the state in this thread's slot that moved to another thread, which gave it up before this thread
 * checked. */
static void take_back_unmissed(struct owner *me, const PyThreadState *in_slot) {
    struct registry_entry entry;
    if (in_slot && registry_find(in_slot, &entry) && entry.is_given_up) {
        owner_fast.is_watched = true;
        registry_take_back(in_slot, me, entry.birth, owner_tell_others());
    }
}

static void drop_lost(struct owner *me) {
    PyThreadState *in_slot = slot_get();
    PyThreadState *own = own_so_far(me, in_slot);
    if (is_lost(me, own) && options_repairs(REPAIR_moved)) {
        lend(me, own, in_slot);
    }
    if (is_lost(me, me->override.home)) {
        me->override.home = NULL;
    }
    if (is_lost(me, in_slot) && options_repairs(REPAIR_moved)) {
        slot_set(in_slot == me->override.state ? me->override.home : NULL);
        me->override.state = me->override.home = NULL;
    }
    if (is_lost(me, me->attached)) {
        me->attached = NULL;
    }
    if (is_lost(me, me->kept)) {
        me->kept = NULL;
    }
    if (is_lost(me, me->untaken)) {
        me->untaken = NULL;
    }
    check_blocks(me, is_lost, blocks_lose);
    take_back_unmissed(me, slot_get());
}

/* Returns true if no thread owns the state that this thread has lent. If that state has died, forgets it. */
static bool is_lent_free(struct owner *me) {
    struct registry_entry entry;
    if (!me->lent.state) {
        return false;
    }
    if (!registry_find(me->lent.state, &entry) || entry.is_dead || entry.birth != me->lent.birth ||
        (entry.died && (int32_t)(entry.died - me->lent.at) > 0)) {
        me->lent.state = NULL;
        return false;
    }
    return entry.is_given_up;
}

/* Gives a thread without any state the one back that it had lent, once no thread owns it. Otherwise the shim would name
 * another state for this thread than CPython on its own, whose slot names the lent one all the time. */
static void take_back(struct owner *me) {
    if (!is_lent_free(me) || slot_get() || me->override.state || me->clearing || me->has_forked || me->exit_rounds ||
        owner_attached(me) || owner_last_own_saved(me) || interp_is_finalizing()) {
        return;
    }
    PyThreadState *lent = me->lent.state;
    uint32_t epoch = owner_tell_others();
    if (registry_take_back(lent, me, me->lent.birth, epoch)) {
        owner_fast.is_watched = true;
        me->lent.state = NULL;
        slot_set(lent);
    }
}

static bool is_dead_after_fork(const struct owner *me, const PyThreadState *state) {
    (void)me;
    return !interp_is_alive(state);
}

/* The first check after a fork with a state attached, so with the GIL held. PyOS_AfterFork_Child is done by then; it
 * frees every state but the attached one (3.7+; 3.6 only if threading is imported, 2.7 never). */
static void drop_dead_after_fork(struct owner *me) {
    if (me->override.home && !interp_is_alive(me->override.home)) {
        me->override.home = NULL;
    }
    if (me->kept && !interp_is_alive(me->kept)) {
        me->kept = NULL;
    }
    check_blocks(me, is_dead_after_fork, blocks_forget);
    for (uint32_t i = 0; i < me->filed.count; i++) {
        FILED(me)[i].is_lost = FILED(me)[i].state && !interp_is_alive(FILED(me)[i].state);
    }
    me->has_forked = false;
}

/* Makes blocks of what a plain thread did, which has none. An Ensure may have attached the state that a SaveThread
 * detached. */
static void unpark(struct owner *me) {
    PyThreadState *parked = owner_fast.parked;
    owner_fast.own = owner_fast.parked = NULL;
    if (!parked) {
        return;
    }
    blocks_push(&me->blocks, BLOCK_DETACH, parked);
    struct block *ensured = owner_attached(me) == parked ? blocks_push(&me->blocks, BLOCK_ATTACH, parked) : NULL;
    if (ensured) {
        ensured->by = BLOCK_BY_ENSURE;
        ensured->counter = counter_is_known() ? counter_read(parked) - 1 : COUNTER_UNKNOWN;
    }
}

/* Finds the places where the wrappers look on this thread. */
static void find_places(const PyThreadState *in_slot) {
    slot_place *slot = slot_find(in_slot);
    owner_fast.current = current_find();
    owner_fast.slot = slot ? slot : &owner_fast.own;
    bool can_count = slot && owner_fast.current && counter_is_known() && interp_ensures_itself && !owner_is_recorded;
    owner_fast.counted = can_count ? slot : &nothing;
}

/* Empties the slot of a thread that comes from a former life of the interpreter. Up to 3.14 the slot went with the key.
 * From 3.15 on the slot is a thread-local that CPython leaves as it is: it names a state that has been freed, and
 * Ensure would attach it. The slot of the thread that initialized this life is right: it entered here at once, with its
 * state attached. */
static void empty_slot_of_former_life(void) {
    if (interp_is_over || !options_repairs(REPAIR_finalize)) {
        return;
    }
    slot_learn();
    if (slot_in_tls() && slot_get() != interp_current()) {
        slot_set(NULL);
    }
}

/* Forgets the override if CPython has put another state into the slot; CPython has then noted that in the one it took
 * out. */
static void drop_replaced_override(struct owner *me) {
    PyThreadState *in_slot = slot_get();
    if (in_slot && in_slot != me->override.state) {
        me->override.state = NULL;
    }
}

/* While this returns true no thread is plain: the wrappers would not notice the end of the interpreter. */
static bool is_end_to_be_watched(void) {
    return !interp_end_is_watched && owner_interpreter_ended;
}

static bool may_learn_bound(struct owner *me) {
    return options_repairs(REPAIR_moved) && !me->is_forking && !interp_is_finalizing() && owner_attached(me);
}

struct owner *owner_enter(void) {
    owner_unsettle();
    struct owner *me = demand_record();
    if (!me) {
        return NULL;
    }
    me->visits++;
    if (me->life != owner_life) {
        owner_pool_wipe(me);
        me->life = owner_life;
        owner_fast.own = owner_fast.parked = NULL;
        owner_fast.is_watched = owner_fast.two_states_is_late = false;
        empty_slot_of_former_life();
    }
    two_states_move_late();
    unpark(me);
    uint32_t epoch = __atomic_load_n(&interp_epoch, __ATOMIC_ACQUIRE);
    bool is_new_epoch = owner_fast.verified != epoch;
    if (is_new_epoch) {
        drop_lost(me);
        owner_fast.verified = epoch;
        owner_fast.counted = &nothing;
    }
    if (me->lent.state) {
        take_back(me);
    }
    if (me->override.state && !me->override.home && interp_slot_follows) {
        drop_replaced_override(me);
    }
    slot_learn();
    if (is_end_to_be_watched() && owner_attached(me) && !interp_is_finalizing()) {
        interp_watch_end(owner_interpreter_ended);
    }
    if (bound_is_wanted() && may_learn_bound(me)) {
        bound_learn(owner_attached(me));
    }
    if (me->has_forked && owner_attached(me)) {
        fork_states_show();
        drop_dead_after_fork(me);
    }
    /* The wrappers do not count recorded calls, so a thread with such calls needs the places only once an epoch. */
    bool may_count = owner_fast.counted == &nothing && !owner_is_recorded;
    if ((is_new_epoch || may_count) && !me->has_forked) {
        find_places(slot_get());
    }
    return me;
}

struct owner *owner_in_turn(struct owner *me) {
    if (!me || !bound_is_wanted_in_turn() || !may_learn_bound(me) || me->has_forked || me->clearing ||
        me->exit_rounds) {
        return me;
    }
    bound_learn(owner_attached(me));
    return owner_enter();
}

/* Returns true if something is to be done at the next visit, or is being done now. */
static bool is_busy(struct owner *me) {
    return me->clearing || me->loan || me->untaken || taken_is_without_state(me) || me->has_forked || me->exit_rounds ||
           interp_is_over || is_end_to_be_watched() || is_lent_free(me) || dead_states_is_there() ||
           (bound_is_wanted_in_turn() && options_repairs(REPAIR_moved));
}

void owner_leave(struct owner *me) {
    if (!me || me != owner_fast.record || is_busy(me)) {
        return;
    }
    if (me->override.state) {
        two_states_begin(me);
        return;
    }
    PyThreadState *own = slot_get();
    if (!blocks_are_plain(&me->blocks, own) || (!own && options.keep)) { /* the next Ensure is to be seen */
        return;
    }
    /* A state other than the one in the slot is attached: not plain. */
    if (me->attached && me->attached != own && interp_current() == me->attached) {
        return;
    }
    owner_fast.parked = owner_last_saved(me);
    me->blocks.count = 0;
    me->attached = NULL;
    if (own && interp_current() == own && !interp_is_finalizing()) {
        current_learn(own);
        counter_learn(own); /* if it is not known, the end of a block is guessed */
        interp_learn_from(own);
    }
    if (owner_fast.counted == &nothing || *owner_fast.counted != own) {
        find_places(own);
    }
    owner_fast.own = own;
    owner_fast.settled = owner_fast.verified;
    owner_fast.epoch = owner_is_recorded || !owner_fast.current ? 0 : owner_fast.verified;
}

/* ---- lives ------------------------------------------------------------------------------------------------------ */

void owner_new_life(void) {
    fork_states_forget();
    dead_states_forget();
    registry_clear();
    taken_by_another();
    __atomic_add_fetch(&owner_life, 1, __ATOMIC_ACQ_REL);
    interp_next_epoch();
}
