#include "diagnose/leftover_states.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/current_thread.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/options.h"
#include "process/process_exit.h"
#include "system/thread.h"

enum status { NOBODYS, MADE, TAKEN, LEFT };

/* A state is searched only in the first NEAR places from its hash. */
enum { PLACES = 2048, NEAR = 16 };
static struct left {
    const void *state; /* NULL: a free place */
    const void *caller;
    pid_t maker;
    uint16_t call;
    uint8_t status;
    char name[32]; /* the maker's name, set when it has ended */
} table[PLACES];

unsigned leftover_count;
bool leftover_is_on;

/* Number of states that this thread made and whose end was not seen. If it is 0 the thread need not search the
 * table. */
static __thread unsigned made_here __attribute__((tls_model("initial-exec")));

/* gettid is called once, because making, attaching and freeing a state ask for it three times. */
static __thread pid_t tid_here __attribute__((tls_model("initial-exec")));

static pid_t this_thread(void) {
    if (!tid_here) {
        tid_here = (pid_t)syscall(SYS_gettid);
    }
    return tid_here;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static struct left *place_of(const void *state, unsigned step) {
    uint64_t hash = ((uintptr_t)state >> 4) * 0x9e3779b97f4a7c15u;
    return &table[((hash >> 40) + step) % PLACES];
}

/* Another thread may be writing it: it drops the state, and the place becomes that of another one. */
static pid_t maker_of(const struct left *left) {
    return __atomic_load_n(&left->maker, __ATOMIC_RELAXED);
}

static struct left *find(const void *state) {
    for (unsigned i = 0; state && i < NEAR; i++) {
        struct left *left = place_of(state, i);
        if (__atomic_load_n(&left->state, __ATOMIC_ACQUIRE) == state) {
            return left;
        }
    }
    return NULL;
}

static void add(const void *state, uint16_t call, const void *caller) {
    for (unsigned i = 0; i < NEAR; i++) {
        struct left *left = place_of(state, i);
        const void *nobody = NULL;
        if (__atomic_compare_exchange_n(&left->state, &nobody, state, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            __atomic_store_n(&left->caller, caller, __ATOMIC_RELAXED);
            __atomic_store_n(&left->call, call, __ATOMIC_RELAXED);
            __atomic_store_n(&left->maker, this_thread(), __ATOMIC_RELAXED);
            __atomic_store_n(&left->status, MADE, __ATOMIC_RELEASE);
            __atomic_add_fetch(&leftover_count, 1, __ATOMIC_RELAXED);
            made_here++;
            return;
        }
    }
}

static void remove_place(struct left *left) {
    __atomic_store_n(&left->status, NOBODYS, __ATOMIC_RELAXED);
    __atomic_store_n(&left->state, NULL, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&leftover_count, 1, __ATOMIC_RELAXED);
}

void leftover_add(const void *state, const void *caller) {
    if (!state) {
        return;
    }
    leftover_drop(state); /* an earlier state at this address, whose end was not seen */
    add(state, REAL_INDEX_PyThreadState_New, caller);
}

void leftover_look(const void *state) {
    struct left *left = find(state);
    if (left && maker_of(left) != this_thread()) {
        __atomic_store_n(&left->status, TAKEN, __ATOMIC_RELAXED);
    }
}

void leftover_drop(const void *state) {
    struct left *left = find(state);
    if (left) {
        made_here -= made_here && maker_of(left) == this_thread();
        remove_place(left);
    }
}

void leftover_forget(void) {
    for (unsigned i = 0; __atomic_load_n(&leftover_count, __ATOMIC_RELAXED) && i < PLACES; i++) {
        if (__atomic_load_n(&table[i].state, __ATOMIC_RELAXED)) {
            remove_place(&table[i]);
        }
    }
}

static void after_fork_in_child(void) {
    tid_here = 0;
    leftover_forget();
}

/* ---- a thread ends ---------------------------------------------------------------------------------------------- */

/* Adds the state in the thread's slot: an Ensure made it, and no Release ended it. CPython has already freed the state
 * of a thread of its own. */
static void add_own(void) {
    const PyThreadState *own = slot_get();
    struct journal_now now = journal_now();
    bool is_known = now.state == own;
    bool may_be_left = options_look_on() && slot_goes_by_ident(); /* by an earlier thread: such a slot is not emptied */
    if (own && !find(own) && (is_known || !may_be_left)) {
        add(own, is_known ? now.call : (uint16_t)JOURNAL_NO_CALL, is_known ? now.caller : NULL);
    }
}

static void name_maker(struct left *left) {
    struct journal_thread thread;
    int index = journal_find(left->maker);
    if (index >= 0 && journal_read_thread((unsigned)index, &thread) && thread.python_name[0]) {
        memcpy(left->name, thread.python_name, sizeof left->name);
    } else {
        thread_read_name(left->maker, left->name);
    }
}

void leftover_thread_ends(bool is_last) {
    if (!leftover_is_on || !interp_is_initialized() || interp_is_finalizing()) {
        return;
    }
    if (!is_last) {
        add_own();
        return;
    }
    pid_t me = made_here ? this_thread() : 0;
    for (unsigned i = 0; me && i < PLACES; i++) {
        struct left *left = &table[i];
        if (__atomic_load_n(&left->status, __ATOMIC_ACQUIRE) == MADE && maker_of(left) == me) {
            name_maker(left);
            __atomic_store_n(&left->status, LEFT, __ATOMIC_RELEASE);
        }
    }
}

/* Returns the state that the thread holds as its end begins. If the state is not in the slot, only notes tell, and they
 * may be out of date for a thread of CPython's own: CPython frees its state unseen, and another thread's state may be
 * at that address by now. */
static PyThreadState *held_now(void) {
    PyThreadState *current = interp_current();
    return current == slot_get() || current_thread_is_foreign() ? current_thread_attached() : NULL;
}

static bool holds_gil_only(const struct journal_now *now) {
    return !interp_slot_follows && now->phase == JOURNAL_HOLDS && !now->state && current_thread_is_detached();
}

void leftover_thread_ends_observed(bool is_last) {
    static __thread PyThreadState *held __attribute__((tls_model("initial-exec")));
    leftover_thread_ends(is_last);
    if (!options_look_on() || !interp_is_initialized() || interp_is_finalizing()) {
        return;
    }
    if (!is_last) {
        held = held_now();
        return;
    }
    struct journal_now now = journal_now();
    PyThreadState *current = interp_current();
    bool is_noted =
        now.phase == JOURNAL_HOLDS && now.state == current && (current == held || current_thread_is_foreign());
    if (!interp_slot_follows && !is_noted) {
        current = NULL;
    }
    if (current || holds_gil_only(&now)) {
        report_tell(REPORT_DEADLOCK_FOLLOWS, REPORT_ends_with_gil, now.phase == JOURNAL_HOLDS ? now.caller : NULL,
                    current, NULL);
        leftover_died(current); /* it is reported already */
    }
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

void leftover_tell(void) {
    for (unsigned i = 0; __atomic_load_n(&leftover_count, __ATOMIC_RELAXED) && i < PLACES; i++) {
        struct left *left = &table[i];
        if (__atomic_load_n(&left->status, __ATOMIC_ACQUIRE) == LEFT) {
            const struct report_call call = {.caller = __atomic_load_n(&left->caller, __ATOMIC_RELAXED),
                                             .call = __atomic_load_n(&left->call, __ATOMIC_RELAXED)};
            report_tell_of(REPORT_leaves_states, &call, left->state, maker_of(left), left->name);
            remove_place(left);
        }
    }
}

void leftover_prepare(void) {
    leftover_is_on = options.mode != MODE_OFF &&
                     (journal_is_on || options.verbosity >= 1 || options.exitcode != EXITCODE_NONE) &&
                     pthread_atfork(NULL, NULL, after_fork_in_child) == 0;
    if (leftover_is_on) {
        process_exit_call(leftover_tell);
    }
}
