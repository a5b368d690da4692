#include "cpython/gil.h"

#include <string.h>
#include <time.h>

#include "cpython/interp.h"
#include "cpython/own_layout.h"
#include "cpython/pauses.h"
#include "cpython/real.h"

enum {
    INTERPRETERS_MAX = 256,
    INTERPRETER_SIZE = 1 << 20, /* or less: 200 to 500 KiB, with what it has in it */
};

static struct interpreter {
    uintptr_t address;
    uintptr_t gil;
    int64_t id;
    int64_t gil_id; /* of the interpreter for which its GIL was made */
    bool has_own_gil;
} interpreters[INTERPRETERS_MAX];
static size_t count;
static bool are_several;
static bool is_off;
static bool has_pause_begun;

/* Where this CPython has what. It is learnt once, and again if another libpython is bound. */
static struct layout layout;
static uintptr_t learnt_of; /* the _PyRuntime */
static bool is_known, is_learning;

static bool read_at(uintptr_t address, int32_t offset, void *to, size_t size) {
    return offset >= 0 && thread_read_memory((const void *)(address + (uintptr_t)offset), to, size);
}

/* ---- where it is ------------------------------------------------------------------------------------------------- */

static bool read_interpreter(uintptr_t address, struct interpreter *interpreter) {
    int own = 0;
    *interpreter = (struct interpreter){.address = address, .gil_id = GIL_NOT_TOLD};
    bool is_read = read_at(address, layout.interp_id, &interpreter->id, sizeof interpreter->id) &&
                   read_at(address, layout.interp_gil, &interpreter->gil, sizeof interpreter->gil) &&
                   read_at(address, layout.interp_own_gil, &own, sizeof own);
    interpreter->has_own_gil = own == 1;
    return is_read && interpreter->id >= 0 && (own == 0 || own == 1);
}

/* Returns where the main interpreter's GIL is, or 0. Up to 3.11 it is in _PyRuntime. */
static uintptr_t main_gil(void) {
    uintptr_t gil = 0;
    if (layout.runtime_gil >= 0) {
        return (uintptr_t)real._PyRuntime + (uintptr_t)layout.runtime_gil;
    }
    return read_at((uintptr_t)interp_main(), layout.interp_gil, &gil, sizeof gil) ? gil : 0;
}

static bool is_main_plausible(void) {
    struct interpreter first;
    return layout.interp_gil < 0 ||
           (read_interpreter((uintptr_t)interp_main(), &first) && first.id == 0 && first.has_own_gil);
}

/* Returns true if the main interpreter and its GIL are found where, and as, the layout says. */
static bool is_plausible(void) {
    uintptr_t head = 0, gil = main_gil();
    uint64_t interval = 0;
    int locked = 0;
    return layout.state_interp >= 0 && layout.gil_size > 0 &&
           read_at((uintptr_t)real._PyRuntime, layout.runtime_head, &head, sizeof head) &&
           head == (uintptr_t)real.PyInterpreterState_Head() && is_main_plausible() && gil &&
           read_at(gil, layout.gil_interval, &interval, sizeof interval) && interval > 0 &&
           interval < 86400ull * 1000000 && read_at(gil, layout.gil_locked, &locked, sizeof locked) &&
           (locked == 0 || locked == 1);
}

/* Returns false also while another thread learns it. */
static bool learn(void) {
    uintptr_t runtime = (uintptr_t)real._PyRuntime;
    if (__atomic_load_n(&learnt_of, __ATOMIC_ACQUIRE) == runtime) {
        return is_known;
    }
    if (__atomic_exchange_n(&is_learning, true, __ATOMIC_ACQUIRE)) {
        return false;
    }
    is_known = own_layout_find(&layout) && is_plausible();
    __atomic_store_n(&learnt_of, runtime, __ATOMIC_RELEASE);
    __atomic_store_n(&is_learning, false, __ATOMIC_RELEASE);
    return is_known;
}

void gil_forked(void) {
    is_learning = false;
}

/* Returns true if it is known where this CPython has its GIL. */
static bool can_be_read(void) {
    return real._PyRuntime && real.PyInterpreterState_Head && learn();
}

bool gil_is_one(void) {
    if (!interp_is_free_threaded) {
        return interp_has_one_gil();
    }
    return !pauses_gil_is_off() && pauses_gil_was() == PAUSES_GIL_ON && real.PyInterpreterState_Head() == interp_main();
}

/* Returns true if there may be several GILs, and they can be told. In a build without the GIL each interpreter may have one of its
 * own while the main one's is switched on. */
static bool can_be_several(void) {
    if (!real.PyInterpreterState_Head || interp_has_one_gil()) {
        return false;
    }
    if (interp_is_free_threaded && (pauses_gil_is_off() || pauses_gil_was() != PAUSES_GIL_ON || gil_is_one())) {
        return false;
    }
    return can_be_read();
}

/* An interpreter without a GIL of its own has the main one's. */
int64_t gil_now_of_interpreter(const void *interpreter) {
    struct interpreter found;
    if (!interpreter || !can_be_several() || !read_interpreter((uintptr_t)interpreter, &found)) {
        return GIL_NOT_TOLD;
    }
    if (found.has_own_gil) {
        bool is_inside = found.gil - (uintptr_t)interpreter < INTERPRETER_SIZE;
        return is_inside ? found.id : GIL_NOT_TOLD;
    }
    return found.gil && found.gil == main_gil() ? 0 : GIL_NOT_TOLD;
}

int64_t gil_now_of_state(const void *state) {
    uintptr_t address = 0;
    bool is_read =
        state && can_be_several() && read_at((uintptr_t)state, layout.state_interp, &address, sizeof address);
    return is_read ? gil_now_of_interpreter((const void *)address) : GIL_NOT_TOLD;
}

/* ---- looking ----------------------------------------------------------------------------------------------------- */

/* An interpreter without a GIL of its own has that of another one. */
static void find_owners(void) {
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            if (interpreters[j].has_own_gil && interpreters[j].gil == interpreters[i].gil) {
                interpreters[i].gil_id = interpreters[j].id;
            }
        }
        are_several |= interpreters[i].gil && interpreters[i].gil != interpreters[0].gil;
    }
}

void gil_look(void) {
    uintptr_t address = 0;
    count = 0;
    are_several = false;
    is_off = pauses_gil_is_off();
    if (!can_be_several() || !read_at((uintptr_t)real._PyRuntime, layout.runtime_head, &address, sizeof address)) {
        return;
    }
    /* One that is being made or ended meanwhile may end the list too early. */
    while (address && count < INTERPRETERS_MAX && read_interpreter(address, &interpreters[count])) {
        count++;
        if (!read_at(address, layout.interp_next, &address, sizeof address)) {
            break;
        }
    }
    find_owners();
}

bool gil_are_several(void) {
    return are_several;
}

bool gil_is_off(void) {
    return is_off;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

int64_t gil_of_state(const void *state) {
    uintptr_t address = 0;
    if (is_off) {
        return GIL_PAUSE;
    }
    if (!are_several || !state || !read_at((uintptr_t)state, layout.state_interp, &address, sizeof address)) {
        return GIL_NOT_TOLD;
    }
    for (size_t i = 0; i < count; i++) {
        if (interpreters[i].address == address) {
            return interpreters[i].gil_id;
        }
    }
    return GIL_NOT_TOLD;
}

int64_t gil_of_wait(const struct thread_look *look) {
    for (size_t i = 0; are_several && thread_is_in_futex(look) && i < count; i++) {
        if (interpreters[i].gil && look->arguments[0] - interpreters[i].gil < (uintptr_t)layout.gil_size) {
            return interpreters[i].gil_id;
        }
    }
    return GIL_NOT_TOLD;
}

static const struct interpreter *owner_of(int64_t gil) {
    for (size_t i = 0; are_several && gil >= 0 && i < count; i++) {
        if (interpreters[i].has_own_gil && interpreters[i].id == gil) {
            return &interpreters[i];
        }
    }
    return NULL;
}

static bool read_pause(PyThreadState **state) {
    struct pause pause;
    bool is_one = pauses_look(&pause);
    has_pause_begun = is_one && pause.has_begun;
    *state = !is_one ? NULL : pause.has_begun ? pause.requester : pause.delayer;
    return true;
}

bool gil_pause_has_begun(void) {
    return has_pause_begun;
}

bool gil_read_holder(int64_t gil, PyThreadState **state) {
    enum { LOOKS = 5 };
    const struct interpreter *owner = owner_of(gil);
    int locked = 0;
    *state = NULL;
    if (gil == GIL_PAUSE) {
        return read_pause(state);
    }
    for (int i = 0; owner && i < LOOKS; i++) {
        if (!read_at(owner->gil, layout.gil_locked, &locked, sizeof locked) ||
            !read_at(owner->gil, layout.gil_holder, state, sizeof(PyThreadState *))) {
            return false;
        }
        if (locked == 1 && *state) {
            return true;
        }
        struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
    }
    *state = NULL;
    return owner != NULL;
}

bool gil_read_switches(int64_t gil, uint64_t *switches) {
    const struct interpreter *owner = owner_of(gil);
    unsigned long number = 0;
    uintptr_t address = owner ? owner->gil : gil == GIL_NOT_TOLD && !are_several && can_be_read() ? main_gil() : 0;
    bool is_read = address && read_at(address, layout.gil_switches, &number, sizeof number);
    *switches = number;
    return is_read;
}
