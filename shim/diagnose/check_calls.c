#include "diagnose/check_calls.h"

#include <errno.h>
#include <pthread.h>

#include "cpython/api_calls.h"
#include "cpython/current.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "diagnose/absence.h"
#include "diagnose/culprit.h"
#include "diagnose/current_thread.h"
#include "diagnose/report.h"
#include "journal/journal.h"
#include "process/background.h"
#include "system/elf.h"
#include "system/thread.h"

/* The state that was last found to be one of an interpreter's, and the epoch at that time. */
static __thread struct {
    const PyThreadState *state;
    uint32_t epoch;
} alive __attribute__((tls_model("initial-exec")));

/* Returns true if the state is in its interpreter's list. Up to 3.11, PyThreadState_New puts the new state in front of the
 * list before it links the others to it, and it needs no GIL. So a state has gone only if it stays out of the list. */
static bool is_listed(const PyThreadState *state) {
    enum { TRIES = 20, PAUSE_NS = 1000000 };
    bool is_found = interp_is_attached_alive(state);
    for (int i = 0; i < TRIES && !is_found; i++) {
        background_sleep(PAUSE_NS);
        is_found = interp_is_attached_alive(state);
    }
    return is_found;
}

/* Returns true if the state, which is attached to this thread, has been deleted. Walks through its interpreter's states
 * only if it has not been seen before, or a state has died since. */
static bool is_deleted(const PyThreadState *state) {
    uint32_t epoch = __atomic_load_n(&interp_epoch, __ATOMIC_RELAXED);
    /* Without the GIL, other threads delete states while the list is walked. */
    if ((alive.state == state && alive.epoch == epoch) || interp_is_free_threaded) {
        return false;
    }
    if (!is_listed(state)) {
        return !interp_is_finalizing();
    }
    alive.state = state;
    alive.epoch = epoch;
    return false;
}

/* Up to 3.11: returns true if this thread made the state. CPython notes the thread's number in the state. */
static bool was_made_here(const PyThreadState *state) {
    enum { WORDS = 64 };
    uintptr_t words[WORDS];
    bool is_found = false;
    if (thread_read_memory(state, words, sizeof words)) { /* another thread may be freeing it */
        for (size_t i = 0; i < WORDS; i++) {
            is_found = is_found || words[i] == (uintptr_t)pthread_self();
        }
    }
    return is_found;
}

/* Returns true if the thread, which has the GIL as its calls show, may run under a state that CPython has attached unseen:
 * in Py_NewInterpreter and Py_EndInterpreter, in which modules are imported and freed, and for a sub-interpreter's code,
 * which a builtin module of CPython's runs. */
static bool has_unseen(const PyThreadState *current) {
    struct journal_event last;
    unsigned torn;
    int index = journal_own_index();
    return journal_now().phase == JOURNAL_HOLDS ||
           (index >= 0 && journal_read_events((unsigned)index, &last, 1, &torn) == 1 &&
            last.kind == JOURNAL_INTERPRETER_ENDS && was_made_here(current));
}

/* Returns the state that is attached to this thread, or NULL. */
static PyThreadState *find_attached(void) {
    PyThreadState *state = current_thread_attached();
    if (!state && !interp_slot_follows) {
        PyThreadState *current = interp_current();
        state = current && has_unseen(current) ? current : NULL;
    }
    return state;
}

/* Lets this thread's calls pass as long as `state` is attached. The place where CPython says so must not go away, so that
 * with a libpython that can be closed again each call is judged. */
static void let_pass(PyThreadState *state) {
    bool is_lasting = real_status.binding == REAL_SHARED || real_status.binding == REAL_STATIC;
    current_place *place = is_lasting ? current_find() : NULL;
    if (!place && is_lasting && state == slot_get()) {
        current_learn(state); /* mode=observe and strict have no other occasion */
        place = current_find();
    }
    if (place && *place == state) {
        thunk_pass = (struct thunk_pass){(const void *const volatile *)place, state};
    }
}

/* CPython uses its own internals with care, also in the modules that come with it. */
static bool is_cpythons(const void *caller) {
    struct elf_object object;
    return interp_contains(caller) || (elf_find_by_address(caller, &object) && culprit_is_pythons_module(&object));
}

static void judge(unsigned number, const void *caller, const void *frame) {
    if (real_is_ambiguous) {
        return;
    }
    int saved_errno = errno;
    PyThreadState *state = find_attached();
    if (state && !is_deleted(state)) {
        absence_note_attached();
        let_pass(state);
    } else if (!is_cpythons((const char *)caller - 1)) {
        report_gil_error(state ? REPORT_dead_state : REPORT_no_gil, api_calls_name(number), caller, frame, state,
                         state ? NULL : absence_add);
    }
    errno = saved_errno;
}

void check_calls_start(void) {
    static unsigned started; /* the generation of what is bound; two threads may come here at the same time */
    unsigned generation = real_status.generation;
    if (__atomic_exchange_n(&started, generation, __ATOMIC_ACQ_REL) != generation && !api_calls_redirect(judge)) {
        report_line("warning: check=calls: CPython's table of symbols can't be changed: no call is checked");
    }
}
