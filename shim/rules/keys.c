#include <pthread.h>
#include <stddef.h>

#include "cpython/real.h"
#include "cpython/slot.h"
#include "process/options.h"
#include "rules/final_state.h"
#include "rules/reconcile.h"
#include "rules/settle.h"
#include "rules/tell.h"
#include "states/plain.h"
#include "states/registry.h"
#include "system/elf.h"

/* A library such as pybind11 files "this thread's state" under a key of its own, beside CPython's slot, and trusts what
 * it finds there. Two rules follow. A key must not name a dead state (`cached`). A key that is empty although the
 * thread has a state answers that state (`share`), as pybind11 from 2.3 on does for itself by asking
 * PyGILState_GetThisThreadState. A key that its library emptied on purpose (dissociation) answers nothing. */

/* The keys under which a thread state was filed. There are few: one per pybind11 generation. */
enum { KEYS_MAX = 64 };
enum { ASKS_UNKNOWN, ASKS_NOBODY, ASKS_CPYTHON };
static struct known_key {
    const void *key;
    bool holds_saved_states; /* holds "what PyEval_SaveThread returned, or nothing": it is not answered for */
    bool is_cut;             /* emptied at least once while the state lived: its library hands states over */
    unsigned char asks;      /* what its library does when it finds nothing; written by any thread that finds out */
} known_keys[KEYS_MAX];
static unsigned known_count;
static uint32_t learned; /* how many keys have been added to known_keys so far */

/* The last key that was emptied before any state had been filed under it. It may belong to anybody and hold anything,
 * so it is not answered for. If states are filed under it later, the emptying was its library's first
 * gil_scoped_release(true). */
static const void *emptied_unknown;

/* Since 3.7 programs hold this struct by value (Include/pythread.h), and so may copy it. pybind11 from 2.11 on, before
 * 3.0, does: from Python 3.12 on its gil_scoped_release(true) empties and fills the key through a copy on the stack. */
struct Py_tss_t {
    int is_initialized;
    pthread_key_t number;
};

/* A name consists of the key's number and, in its last two bits, the key's kind. It is never NULL. */
enum { NAMES_NUMBER = 1, NAMES_TSS = 3 };

static const void *name_of(unsigned number, unsigned kind) {
    return (const void *)((uintptr_t)number * 4 + kind);
}

const void *keys_of_number(int number) {
    return name_of((unsigned)number, NAMES_NUMBER);
}

const void *keys_of_tss(const Py_tss_t *key) {
    return key && key->is_initialized ? name_of(key->number, NAMES_TSS) : NULL;
}

static bool is_tss(const void *name) {
    return ((uintptr_t)name & 3) == NAMES_TSS;
}

static unsigned number_of(const void *name) {
    return (unsigned)((uintptr_t)name >> 2);
}

static void *real_get(const void *key) {
    Py_tss_t tss = {.is_initialized = 1, .number = number_of(key)};
    return is_tss(key) ? real.PyThread_tss_get(&tss) : real.PyThread_get_key_value((int)number_of(key));
}

static int real_set(const void *key, void *value) {
    Py_tss_t tss = {.is_initialized = 1, .number = number_of(key)};
    return is_tss(key) ? real.PyThread_tss_set(&tss, value) : real.PyThread_set_key_value((int)number_of(key), value);
}

static void real_empty(const void *key) {
    if (is_tss(key)) {
        real_set(key, NULL);
    } else {
        real.PyThread_delete_key_value((int)number_of(key)); /* 2.7's set never overwrites */
    }
}

static struct known_key *find_known(const void *key) {
    unsigned count = __atomic_load_n(&known_count, __ATOMIC_ACQUIRE);
    for (unsigned i = 0; i < count; i++) {
        if (known_keys[i].key == key) {
            return &known_keys[i];
        }
    }
    return NULL;
}

static bool holds_saved_states(const struct known_key *known) {
    return __atomic_load_n(&known->holds_saved_states, __ATOMIC_RELAXED);
}

static bool is_ever_cut(const struct known_key *known) {
    return __atomic_load_n(&known->is_cut, __ATOMIC_RELAXED);
}

static struct known_key *learn(const void *key) {
    struct known_key *known = find_known(key);
    for (unsigned i = 0; !known && i < KEYS_MAX; i++) {
        const void *nobody = NULL;
        if (__atomic_compare_exchange_n(&known_keys[i].key, &nobody, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            known = &known_keys[i];
            __atomic_store_n(&known->holds_saved_states, false, __ATOMIC_RELAXED);
            __atomic_store_n(&known->is_cut, key == __atomic_load_n(&emptied_unknown, __ATOMIC_RELAXED),
                             __ATOMIC_RELAXED);
            __atomic_store_n(&known->asks, ASKS_UNKNOWN, __ATOMIC_RELAXED);
            unsigned count = known_count;
            while (count < i + 1 && !__atomic_compare_exchange_n(&known_count, &count, i + 1, false, __ATOMIC_RELEASE,
                                                                 __ATOMIC_RELAXED)) {
            }
            __atomic_add_fetch(&learned, 1, __ATOMIC_RELEASE); /* last: who reads this finds the key */
        } else if (nobody == key) {
            known = &known_keys[i];
        }
    }
    return known;
}

void keys_gone(const void *key) {
    struct known_key *known = find_known(key);
    if (known && key) {
        __atomic_store_n(&known->key, NULL, __ATOMIC_RELEASE);
    }
}

void keys_forget_all(void) {
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        keys_gone(known_keys[i].key);
    }
}

/* Returns true if `value` is known to be a thread state. Pointers are compared, not followed: the value may be
 * anything. */
static bool is_thread_state(struct owner *me, const void *value) {
    struct registry_entry entry;
    return value == owner_attached(me) || value == slot_get() || (registry_find(value, &entry) && !entry.is_dead) ||
           blocks_find(&me->blocks, BLOCK_DETACH, value);
}

/* How the state to be filed was found: attached; saved away, to be attached again; or neither, which means just
 * made. */
enum found { FOUND_FRESH, FOUND_ATTACHED, FOUND_SAVED };

static void file(struct owner *me, const void *key, PyThreadState *state, enum found found) {
    struct registry_entry entry;
    struct known_key *known = learn(key);
    /* The library made the state, or attached it here at the end of a gil_scoped_release(true) that began on another
     * thread. */
    bool is_librarys = found == FOUND_FRESH || (found == FOUND_ATTACHED && known && is_ever_cut(known));
    bool is_found = is_librarys ? registry_find_filed(state, &entry) : registry_find(state, &entry);
    bool is_registered = is_found && !entry.is_dead; /* a dead entry is of an earlier state */
    if (is_librarys && found == FOUND_ATTACHED) {
        owner_was_filed(me, state);
    }
    bool is_new = is_registered && !entry.owner && !entry.has_moved;
    if (known && found == FOUND_SAVED && !is_new) {
        __atomic_store_n(&known->holds_saved_states, true, __ATOMIC_RELAXED);
    }
    uint32_t count = me->filed.count;
    struct owner_filed *filed = known ? owner_demand_filed(me, key) : NULL;
    if (filed) {
        /* A library files a state that it has made before it attaches it, and again at the end of a
         * gil_scoped_release(true). The latter files whatever was attached, including states that the library did not
         * make. Where nothing was seen under the key on this thread, the state may have come from another thread. */
        uint32_t birth = is_registered ? entry.birth : 0;
        bool is_made = found == FOUND_FRESH || me->filed.count != count;
        uint32_t made = is_made ? birth : filed->made;
        *filed = (struct owner_filed){.key = key, .state = state, .birth = birth, .buried = entry.died, .made = made};
        owner_fast.is_watched = true;
    }
}

static void unfile(struct owner *me, const void *key) {
    struct owner_filed *filed = owner_demand_filed(me, key);
    if (!filed) {
        return;
    }
    /* pybind11's dec_ref empties the key after the state has died. Its gil_scoped_release(true) empties it while the
     * state lives. */
    owner_fast.answered = NULL;
    filed->is_cut = !filed->is_emptied;
    struct known_key *known = filed->is_cut ? find_known(key) : NULL;
    if (known && !is_ever_cut(known)) {
        __atomic_store_n(&known->is_cut, true, __ATOMIC_RELAXED);
    }
    const PyThreadState *state = filed->state;
    filed->is_emptied = false;
    filed->state = NULL;
    if (filed->is_cut && state && !owner_files(me, state)) {
        owner_give_up(me, state);
    }
}

/* Returns the place of the slot of a thread that needs no rule. Returns NULL if the thread needs one, or if the slot or
 * what is attached cannot be seen. */
static slot_place *settled_slot(void) {
    return settled_can_see() ? known_slot() : NULL;
}

/* Handles what a library sets on such a thread: the thread's own state, or NULL after that state has died. Returns
 * false if the rules have to be asked. */
static bool set_on_settled(const void *key, PyThreadState *value) {
    slot_place *slot = settled_slot();
    struct owner *me = owner_fast.record;
    struct owner_filed *filed = slot && !value ? owner_find_filed(me, key) : NULL;
    if (filed && filed->is_emptied) {
        filed->is_emptied = filed->is_cut = false;
    } else if (slot && value && value == *slot) {
        bool is_attached = *owner_fast.current == value;
        file(me, key, value, is_attached ? FOUND_ATTACHED : owner_fast.parked == value ? FOUND_SAVED : FOUND_FRESH);
    } else {
        return false;
    }
    me->visits++;
    return true;
}

static void note_emptied(const void *key) {
    struct owner *me = NULL;
    if (find_known(key)) {
        me = owner_enter();
    } else {
        __atomic_store_n(&emptied_unknown, key, __ATOMIC_RELAXED);
    }
    if (me) {
        unfile(me, key);
    }
    owner_leave(me);
}

int keys_set(const void *key, void *value) {
    int result = real_set(key, value);
    if (is_tss(key) ? result != 0 : real_get(key) != value) {
        return result; /* no memory; or 2.7, which keeps the old value and takes no NULL */
    }
    if (set_on_settled(key, value)) {
        return result;
    }
    if (!value) {
        note_emptied(key);
        return result;
    }
    struct owner *me = owner_enter();
    if (me && is_thread_state(me, value)) {
        bool is_saved_away = blocks_find(&me->blocks, BLOCK_DETACH, value);
        bool is_attached = value == owner_attached(me);
        file(me, key, value, is_attached ? FOUND_ATTACHED : is_saved_away ? FOUND_SAVED : FOUND_FRESH);
    } else if (me) {
        keys_gone(key); /* the library uses the key for something else */
    }
    owner_leave(me);
    return result;
}

void keys_empty(const void *key) {
    note_emptied(key);
    real_empty(key);
}

/* Returns true if what is filed is no longer the state that it was: it has died, or a later state is at its address. */
static bool is_stale(const struct owner_filed *filed) {
    struct registry_entry entry;
    if (filed->is_lost) {
        return true;
    }
    bool is_known = registry_find(filed->state, &entry);
    return entry.died != filed->buried || (is_known && entry.birth > filed->birth);
}

/* If the key names one state of this thread while another is attached, the library would attach the one over the other.
 * Returns the attached state, which the library may use as well. Returns NULL if there is no such state, or if the
 * library made the filed state itself and counts in it to keep it alive. */
static PyThreadState *attached_instead_of(struct owner *me, const struct owner_filed *filed, const void *value) {
    PyThreadState *attached = owner_attached(me);
    bool was_made_by_library = !filed || filed->state != value || (filed->birth && filed->birth == filed->made);
    return attached && attached != value && !was_made_by_library ? attached : NULL;
}

static __attribute__((noinline, cold)) unsigned char find_out(struct known_key *known, const void *caller) {
    struct elf_object object;
    bool is_asking = elf_find_by_address(caller, &object) && elf_imports(&object, "PyGILState_GetThisThreadState");
    unsigned char asks = is_asking ? ASKS_CPYTHON : ASKS_NOBODY;
    __atomic_store_n(&known->asks, asks, __ATOMIC_RELAXED);
    return asks;
}

/* Returns true if a library that finds nothing under its key would make a second state, as pybind11 up to 2.2 does.
 * Later versions ask CPython for the thread's own state and arrive at what the key answers: nothing is repaired. */
static bool makes_second(struct known_key *known, const void *caller) {
    unsigned char asks = __atomic_load_n(&known->asks, __ATOMIC_RELAXED);
    return (asks == ASKS_UNKNOWN ? find_out(known, caller) : asks) == ASKS_NOBODY;
}

/* Returns true if `own`, which the slot of a thread that needs no rule names, is what the key answers: nothing else is
 * attached or about to be restored. */
static inline bool is_only_state(const PyThreadState *own) {
    const PyThreadState *current = interp_slot_follows ? *owner_fast.current : NULL;
    return (!current || current == own) && (!owner_fast.parked || owner_fast.parked == own);
}

/* Answers an empty key on a thread that needs no rule. The rules below would arrive at what the slot names, which is
 * the thread's own state or none. Each gil_scoped_acquire of pybind11 on a thread of Python's own is such a case.
 * Returns false if the rules have to be asked. */
static bool answer_from_slot(struct known_key *known, const void *caller, PyThreadState **answer) {
    slot_place *slot = settled_slot();
    if (!slot || holds_saved_states(known) || options.verbosity >= 1 || !options_repairs(REPAIR_share)) {
        return false;
    }
    struct owner *me = owner_fast.record;
    PyThreadState *own = *slot;
    const struct owner_filed *filed = owner_find_filed(me, known->key);
    bool is_pending = filed && (filed->is_cut || filed->is_emptied);
    bool is_event = own && owner_is_recorded; /* each repair is an event of the journal */
    if (is_event || is_pending || !is_only_state(own)) {
        return false;
    }
    bool is_repair = own && makes_second(known, caller);
    if (is_repair) {
        tell_repaired_quietly(REPAIR_share, caller, own);
    }
    owner_fast.answered = own && !is_repair ? known : NULL;
    owner_note_answer(me, own);
    *answer = own;
    return true;
}

/* What the thread has filed under the key need not be looked at: where that comes to matter, `answered` is cleared. */
bool keys_get_again(const void *key, void **answer) {
    if (owner_fast.unknown == key) {
        if (owner_fast.unknown_at == __atomic_load_n(&learned, __ATOMIC_ACQUIRE)) {
            *answer = NULL;
            return true;
        }
        owner_fast.unknown = NULL;
    }
    const struct known_key *known = owner_fast.answered;
    slot_place *slot = known_slot();
    PyThreadState *own = slot ? *slot : NULL;
    if (!known || !own || !key || __atomic_load_n(&known->key, __ATOMIC_ACQUIRE) != key || holds_saved_states(known) ||
        !is_only_state(own)) {
        return false;
    }
    owner_note_answer(owner_fast.record, own);
    *answer = own;
    return true;
}

void *keys_get(const void *key, const void *caller) {
    void *value = real_get(key);
    uint32_t learned_before = __atomic_load_n(&learned, __ATOMIC_ACQUIRE);
    struct known_key *known = find_known(key);
    if (!known) {
        owner_fast.unknown = key;
        owner_fast.unknown_at = learned_before;
        return value;
    }
    if (owner_is_settled() && settled_is_own(value)) {
        return value; /* a plain thread may file another: Swap and Py_NewInterpreter open no block */
    }
    PyThreadState *answer;
    if (!value && answer_from_slot(known, caller, &answer)) {
        return answer;
    }
    struct owner *me = owner_enter();
    if (!me) {
        return value;
    }
    struct owner_filed *filed = owner_find_filed(me, key);
    if (value && filed && filed->state == value && options_repairs(REPAIR_cached) && is_stale(filed)) {
        real_empty(key);
        tell_repaired(REPAIR_cached, caller, value, NULL);
        filed->state = value = NULL;
    }
    bool is_cut = filed && filed->is_cut;
    if (filed && filed->is_emptied) {
        filed->is_emptied = false;
        if (!value && options_repairs(REPAIR_cached)) {
            /* not told when it was emptied: pybind11 empties it itself right after */
            tell_repaired(REPAIR_cached, caller, filed->died, NULL);
        }
    }
    if (value && interp_is_finalizing()) {
        value = final_alive(me, value, caller);
    }
    if (!is_cut && !holds_saved_states(known) && options_repairs(REPAIR_share)) {
        PyThreadState *own = value ? attached_instead_of(me, filed, value) : settle_own_state(me);
        if (own) {
            if (value || makes_second(known, caller)) {
                tell_repaired(REPAIR_share, caller, own, value);
            }
            value = own;
        }
    }
    owner_note_answer(me, value);
    owner_leave(me);
    return value;
}

void keys_state_died(struct owner *me, const PyThreadState *state) {
    struct owner_filed *filed = me ? me->filed.items : NULL;
    for (uint32_t i = 0; me && i < me->filed.count; i++) {
        if (filed[i].state != state) {
            continue;
        }
        filed[i].state = NULL;
        filed[i].died = state;
        filed[i].is_emptied = true;
        owner_fast.answered = NULL;
        if (options_repairs(REPAIR_cached) && find_known(filed[i].key) && real_get(filed[i].key) == state) {
            real_empty(filed[i].key);
        }
    }
}

/* 2.7 keeps values in a list by thread ident, where they outlive the thread and meet the next thread of the same ident.
 * CPython frees the state of a Python thread before this function runs, unseen. A state that is still in the slot lives
 * on, unless it is to go with the thread (keep=1). */
void keys_thread_ends(struct owner *me) {
    const struct owner_filed *filed = me->filed.items;
    for (uint32_t i = 0; i < me->filed.count; i++) {
        bool is_dead = filed[i].state && (filed[i].state != slot_get() || filed[i].state == me->kept);
        if (is_dead && !is_tss(filed[i].key) && options_repairs(REPAIR_cached) && find_known(filed[i].key)) {
            real_empty(filed[i].key);
        }
    }
}
