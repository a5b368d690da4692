/* Interpreters, GILs and thread states, as they are in the target's memory. */
#include "inspect/interpreter.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/attached_thread.h"
#include "inspect/python_stack.h"
#include "inspect/target.h"
#include "inspect/thread_descriptor.h"

enum {
    INTERPRETERS_MAX = 1024,
    STATES_MAX = 65536, /* of all interpreters */
    STATE_SIZE = 512,   /* what is read of a state: up to 3.15 the fields are within 300 bytes */
    VOTERS_MAX = 16,    /* threads that are asked where glibc has a thread's id */
    ATTEMPTS = 4,       /* while the target goes on making and deleting states */
};

/* Of the process that was looked at last. */
static struct thread_descriptor descriptor;

/* ---- reading one field ------------------------------------------------------------------------------------------ */

static bool read_pointer(uintptr_t address, uintptr_t *value) {
    return target_read(address, value, sizeof *value);
}

static bool read_int(uintptr_t address, int *value) {
    return target_read(address, value, sizeof *value);
}

/* A field of a structure that was copied. Returns 0 if the structure has no such field. */
static uint64_t word_at(const uint8_t *copy, int32_t offset) {
    uint64_t value = 0;
    if (offset >= 0 && offset + (int32_t)sizeof value <= STATE_SIZE) {
        memcpy(&value, copy + offset, sizeof value);
    }
    return value;
}

static int int_at(const uint8_t *copy, int32_t offset) {
    int value = 0;
    if (offset >= 0 && offset + (int32_t)sizeof value <= STATE_SIZE) {
        memcpy(&value, copy + offset, sizeof value);
    }
    return value;
}

/* Makes room for one more element. Returns NULL if memory ran out. */
static void *grow(void **array, size_t count, size_t element) {
    if (count % 64 == 0) {
        void *larger = reallocarray(*array, count + 64, element);
        if (!larger) {
            return NULL;
        }
        *array = larger;
    }
    void *added = (char *)*array + count * element;
    memset(added, 0, element);
    return added;
}

/* Tells a circle in a list, which is followed from element to element: Brent's algorithm, which remembers one of them. */
struct circle {
    uintptr_t mark;
    size_t count, limit; /* since the mark was set, and when it is set anew */
};

static bool is_circle(struct circle *circle, uintptr_t element) {
    if (element == circle->mark) {
        return true;
    }
    if (circle->count++ == circle->limit) {
        circle->mark = element;
        circle->count = 0;
        circle->limit = circle->limit ? circle->limit * 2 : 1;
    }
    return false;
}

/* ---- GILs ------------------------------------------------------------------------------------------------------- */

/* 3.7+: the structure `_gil_runtime_state`. */
static bool read_gil_structure(const struct interpreter_cpython *cpython, struct interpreter_gil *gil) {
    const struct layout *layout = &cpython->layout;
    uint8_t copy[STATE_SIZE] = {0};
    size_t size = layout->gil_size > 0 && layout->gil_size <= STATE_SIZE ? (size_t)layout->gil_size : 0;
    if (!size || !target_read(gil->address, copy, size)) {
        return false;
    }
    int locked = int_at(copy, layout->gil_locked);
    uint64_t interval = word_at(copy, layout->gil_interval); /* in microseconds; 0 before it is created */
    if (interval > 1000000ull * 86400 || locked < -1 || locked > 1) {
        return false; /* it is something else */
    }
    bool is_enabled = layout->gil_enabled < 0 || int_at(copy, layout->gil_enabled) != 0;
    gil->lock = locked < 0 || !interval || !is_enabled ? GIL_NONE : locked ? GIL_HELD : GIL_FREE;
    gil->last_holder = word_at(copy, layout->gil_holder);
    gil->switches = word_at(copy, layout->gil_switches);
    gil->has_switches = true;
    gil->holder = gil->lock == GIL_HELD ? gil->last_holder : 0;
    if (cpython->current && gil->lock == GIL_HELD && !read_pointer(cpython->current, &gil->holder)) {
        gil->holder = 0;
    }
    return true;
}

/* 2.7: a lock of pthreads' making, which is a semaphore: its value is 0 while it is held. */
static bool read_lock(const struct interpreter_cpython *cpython, struct interpreter_gil *gil) {
    uint32_t value;
    gil->lock = GIL_UNKNOWN;
    gil->address = 0;
    if (!read_pointer(cpython->current, &gil->holder)) {
        return false;
    }
    if (!cpython->lock || !read_pointer(cpython->lock, &gil->address)) {
        gil->lock = gil->holder ? GIL_HELD : GIL_UNKNOWN;
    } else if (!gil->address) {
        gil->lock = GIL_NONE;
    } else if (target_read(gil->address, &value, sizeof value)) {
        gil->lock = value == 0 ? GIL_HELD : GIL_FREE;
    }
    return true;
}

/* 3.6: static variables. */
static bool read_gil_variables(const struct interpreter_cpython *cpython, struct interpreter_gil *gil) {
    const uintptr_t *variables = cpython->gil_variables;
    int locked = 0;
    gil->address = variables[GIL_LOCKED];
    gil->lock = GIL_UNKNOWN;
    if (!read_pointer(cpython->current, &gil->holder)) {
        return false;
    }
    if (!gil->address || !read_int(gil->address, &locked)) {
        gil->lock = gil->holder ? GIL_HELD : GIL_UNKNOWN;
        return true;
    }
    gil->lock = locked < 0 ? GIL_NONE : locked ? GIL_HELD : GIL_FREE;
    if (variables[GIL_LAST_HOLDER] && !read_pointer(variables[GIL_LAST_HOLDER], &gil->last_holder)) {
        gil->last_holder = 0;
    }
    gil->has_switches =
        variables[GIL_SWITCH_NUMBER] && target_read(variables[GIL_SWITCH_NUMBER], &gil->switches, sizeof gil->switches);
    return true;
}

bool interpreter_look_again(const struct interpreter_cpython *cpython, struct interpreter_gil *gil) {
    struct interpreter_gil fresh = {.address = gil->address};
    bool is_read = cpython->runtime      ? fresh.address && read_gil_structure(cpython, &fresh)
                   : cpython->major == 2 ? read_lock(cpython, &fresh)
                                         : read_gil_variables(cpython, &fresh);
    if (is_read) {
        *gil = fresh;
    }
    return is_read;
}

/* In front of gilstate_counter, both are an int. */
bool interpreter_count_of_work(const struct interpreter_cpython *cpython, uintptr_t state, int *count) {
    int32_t counter = cpython->layout.state_counter;
    return cpython->major == 2 && state && counter >= (int32_t)sizeof *count &&
           target_read(state + (uintptr_t)counter - sizeof *count, count, sizeof *count);
}

/* Returns the index of the GIL at `address` (0: the only one, in variables), which is added if it is new. */
static bool find_gil(struct interpreter_picture *picture, uintptr_t address, size_t *index) {
    for (*index = 0; *index < picture->gil_count; ++*index) {
        if (!picture->cpython->runtime || picture->gils[*index].address == address) {
            return true;
        }
    }
    struct interpreter_gil *gil = grow((void **)&picture->gils, picture->gil_count, sizeof *gil);
    if (!gil) {
        return false;
    }
    picture->gil_count++;
    gil->address = address;
    if (!interpreter_look_again(picture->cpython, gil)) {
        gil->lock = GIL_UNKNOWN;
    }
    return true;
}

/* ---- states ----------------------------------------------------------------------------------------------------- */

static size_t size_of_state(const struct layout *layout) {
    const int32_t fields[] = {layout->state_next,    layout->state_interp,    layout->state_frame,
                              layout->state_thread,  layout->state_native,    layout->state_id,
                              layout->state_counter, layout->state_attachment};
    int32_t last = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        last = fields[i] > last ? fields[i] : last;
    }
    return (size_t)last + sizeof(uint64_t);
}

static enum interpreter_attachment attachment_of(const struct interpreter_picture *picture, const uint8_t *copy,
                                                 uintptr_t address, size_t gil) {
    const struct layout *layout = &picture->cpython->layout;
    uintptr_t current = 0;
    if (layout->state_attachment >= 0) {
        int value = int_at(copy, layout->state_attachment);
        return value > 0 && value <= STATE_SHUTTING_DOWN ? (enum interpreter_attachment)value : STATE_DETACHED;
    }
    if (picture->cpython->current) {
        bool is_current = read_pointer(picture->cpython->current, &current) && current == address;
        return is_current ? STATE_ATTACHED : STATE_DETACHED;
    }
    return picture->gils[gil].holder == address ? STATE_ATTACHED : STATE_DETACHED;
}

/* Reads the list of states from `address` on. */
static bool read_states(struct interpreter_picture *picture, size_t interpreter, uintptr_t address) {
    const struct interpreter_cpython *cpython = picture->cpython;
    const struct layout *layout = &cpython->layout;
    size_t size = size_of_state(layout);
    struct circle circle = {0};
    while (address) {
        uint8_t copy[STATE_SIZE] = {0};
        if (picture->state_count == STATES_MAX || is_circle(&circle, address) || size > sizeof copy ||
            !target_read(address, copy, size) ||
            word_at(copy, layout->state_interp) != picture->interpreters[interpreter].address) {
            picture->is_cut = true;
            return true;
        }
        struct interpreter_state *state = grow((void **)&picture->states, picture->state_count, sizeof *state);
        if (!state) {
            return false;
        }
        picture->state_count++;
        state->address = address;
        state->interpreter = interpreter;
        state->id = word_at(copy, layout->state_id);
        state->pthread = word_at(copy, layout->state_thread);
        uint64_t native = word_at(copy, layout->state_native);
        state->tid = native && native <= INT32_MAX ? target_thread_of((pid_t)native) : 0;
        state->gilstate_counter = int_at(copy, layout->state_counter);
        state->attachment = attachment_of(picture, copy, address, picture->interpreters[interpreter].gil);
        state->has_frame = python_stack_is_there(cpython, address);
        address = word_at(copy, layout->state_next);
    }
    return true;
}

static bool read_interpreters(struct interpreter_picture *picture) {
    const struct interpreter_cpython *cpython = picture->cpython;
    const struct layout *layout = &cpython->layout;
    uintptr_t address, next, states;
    struct circle circle = {0};
    if (!read_pointer(cpython->head, &address)) {
        return false;
    }
    for (; address; address = next) {
        uintptr_t gil = layout->runtime_gil >= 0 ? cpython->runtime + (uintptr_t)layout->runtime_gil : 0;
        if (picture->interpreter_count == INTERPRETERS_MAX || is_circle(&circle, address) ||
            !read_pointer(address + (uintptr_t)layout->interp_next, &next) ||
            !read_pointer(address + (uintptr_t)layout->interp_states, &states) ||
            (layout->interp_gil >= 0 && !read_pointer(address + (uintptr_t)layout->interp_gil, &gil))) {
            picture->is_cut = true;
            return true;
        }
        struct interpreter *added = grow((void **)&picture->interpreters, picture->interpreter_count, sizeof *added);
        if (!added || !find_gil(picture, gil, &added->gil)) {
            return false;
        }
        added->address = address;
        added->id = (int64_t)picture->interpreter_count;
        if (layout->interp_id >= 0 &&
            !target_read(address + (uintptr_t)layout->interp_id, &added->id, sizeof(int64_t))) {
            added->id = -1;
        }
        int own = 0;
        added->has_own_gil =
            layout->interp_own_gil >= 0 && read_int(address + (uintptr_t)layout->interp_own_gil, &own) && own == 1;
        if (layout->interp_finalizing >= 0 &&
            !read_pointer(address + (uintptr_t)layout->interp_finalizing, &added->finalizing)) {
            added->finalizing = 0;
        }
        if (!read_states(picture, picture->interpreter_count++, states)) {
            return false;
        }
    }
    return true;
}

/* Before 3.7 the newest interpreter, which is the first one, has the highest number. */
static void number_interpreters(struct interpreter_picture *picture) {
    for (size_t i = 0; picture->cpython->layout.interp_id < 0 && i < picture->interpreter_count; i++) {
        picture->interpreters[i].id = (int64_t)(picture->interpreter_count - 1 - i);
    }
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static void find_threads(struct interpreter_picture *picture) {
    uintptr_t pthreads[VOTERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < picture->state_count && count < VOTERS_MAX; i++) {
        pthreads[count] = picture->states[i].pthread;
        count += pthreads[count] != 0;
    }
    thread_descriptor_learn(&descriptor, pthreads, count);
    for (size_t i = 0; i < picture->state_count; i++) {
        struct interpreter_state *state = &picture->states[i];
        if (!state->tid) { /* up to 3.10, or after a fork */
            state->tid = thread_descriptor_tid(&descriptor, state->pthread);
        }
    }
}

pid_t interpreter_tid_of(uintptr_t pthread) {
    return thread_descriptor_tid(&descriptor, pthread);
}

/* The key is in a Py_tss_t: whether it was created, then the pthread_key_t. */
static void find_slots(struct interpreter_picture *picture) {
    struct {
        int is_initialized;
        unsigned key;
    } tss;
    if (!picture->cpython->key || !target_read(picture->cpython->key, &tss, sizeof tss) || tss.is_initialized != 1) {
        return;
    }
    picture->has_key = true;
    picture->key = tss.key;
    for (size_t i = 0; i < picture->state_count; i++) {
        struct interpreter_state *state = &picture->states[i];
        state->has_slot = state->tid && thread_descriptor_tid(&descriptor, state->pthread) == state->tid &&
                          thread_descriptor_specific(state->pthread, tss.key, &state->slot);
    }
}

/* Up to 3.11 nothing says which thread it is. */
static void find_holders(struct interpreter_picture *picture) {
    for (size_t i = 0; i < picture->gil_count && !picture->cpython->current; i++) {
        uintptr_t holder = picture->gils[i].holder;
        for (size_t j = 0; holder && j < picture->state_count; j++) {
            if (picture->states[j].address == holder) {
                picture->states[j].attached_tid = attached_thread_find(picture, &picture->states[j]);
            }
        }
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static bool read_once(const struct interpreter_cpython *cpython, struct interpreter_picture *picture) {
    memset(picture, 0, sizeof *picture);
    picture->cpython = cpython;
    if (!read_interpreters(picture) || !picture->interpreter_count) {
        interpreter_release(picture);
        return false;
    }
    number_interpreters(picture);
    if (!cpython->finalizing || !read_pointer(cpython->finalizing, &picture->finalizing)) {
        picture->finalizing = 0;
    }
    find_threads(picture);
    find_slots(picture);
    find_holders(picture);
    return true;
}

/* Returns false if the lists changed while they were read. */
static bool is_whole(const struct interpreter_picture *picture) {
    for (size_t i = 0; i < picture->gil_count; i++) {
        if (picture->gils[i].holder && !interpreter_state_at(picture, picture->gils[i].holder)) {
            return false;
        }
    }
    return !picture->is_cut;
}

bool interpreter_read(const struct interpreter_cpython *cpython, struct interpreter_picture *picture) {
    memset(picture, 0, sizeof *picture);
    if (cpython->reason) {
        return false;
    }
    for (int i = 1; i < ATTEMPTS; i++) {
        if (!read_once(cpython, picture)) {
            return false;
        }
        if (is_whole(picture)) {
            return true;
        }
        interpreter_release(picture);
    }
    return read_once(cpython, picture);
}

void interpreter_release(struct interpreter_picture *picture) {
    free(picture->interpreters);
    free(picture->states);
    free(picture->gils);
    memset(picture, 0, sizeof *picture);
}

const struct interpreter_state *interpreter_state_at(const struct interpreter_picture *picture, uintptr_t address) {
    for (size_t i = 0; i < picture->state_count; i++) {
        if (picture->states[i].address == address) {
            return &picture->states[i];
        }
    }
    return NULL;
}

/* ---- waits ------------------------------------------------------------------------------------------------------ */

static bool is_within(uintptr_t address, uintptr_t start, size_t size) {
    return start && address - start < size;
}

/* 3.7+. */
static enum interpreter_wait waits_in_structure(const struct layout *layout, uintptr_t offset) {
    if (offset >= (uintptr_t)layout->gil_size) {
        return WAIT_ELSEWHERE;
    }
    return offset >= (uintptr_t)layout->gil_switch_cond ? WAIT_FOR_TAKER
           : offset >= (uintptr_t)layout->gil_cond      ? WAIT_FOR_GIL
                                                        : WAIT_ELSEWHERE;
}

/* 3.6. */
static enum interpreter_wait waits_in_variables(const uintptr_t *variables, uintptr_t futex) {
    if (is_within(futex, variables[GIL_COND], sizeof(pthread_cond_t)) ||
        is_within(futex, variables[GIL_MUTEX], sizeof(pthread_mutex_t))) {
        return WAIT_FOR_GIL;
    }
    if (is_within(futex, variables[GIL_SWITCH_COND], sizeof(pthread_cond_t)) ||
        is_within(futex, variables[GIL_SWITCH_MUTEX], sizeof(pthread_mutex_t))) {
        return WAIT_FOR_TAKER;
    }
    return WAIT_ELSEWHERE;
}

enum interpreter_wait interpreter_waits_for(const struct interpreter_picture *picture, uintptr_t futex, size_t *gil) {
    const struct interpreter_cpython *cpython = picture->cpython;
    for (size_t i = 0; i < picture->gil_count; i++) {
        uintptr_t address = picture->gils[i].address;
        enum interpreter_wait wait = WAIT_ELSEWHERE;
        if (cpython->runtime) {
            wait = address ? waits_in_structure(&cpython->layout, futex - address) : WAIT_ELSEWHERE;
        } else if (cpython->major == 2) {
            wait = is_within(futex, address, sizeof(sem_t)) ? WAIT_FOR_GIL : WAIT_ELSEWHERE;
        } else {
            wait = waits_in_variables(cpython->gil_variables, futex);
        }
        if (wait != WAIT_ELSEWHERE) {
            if (gil) {
                *gil = i;
            }
            return wait;
        }
    }
    return WAIT_ELSEWHERE;
}
