#include "diagnose/wait_graph.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/real.h"
#include "diagnose/culprit.h"
#include "system/elf.h"
#include "system/symbol.h"
#include "system/ticks.h"

/* ---- one thread ------------------------------------------------------------------------------------------------- */

static bool python_object(struct elf_object *object) {
    return elf_find_by_address((const void *)real.Py_IsInitialized, object);
}

/* From 3.7 on the GIL is in _PyRuntime: the main interpreter's, and the interpreters' that share it. A GIL of its own is in the
 * interpreter. In 3.6 it is in
 * static data. CPython always waits for the GIL with a time limit, and asks for it when that has passed. */
bool wait_graph_waits_in_python(const struct thread_look *look) {
    struct elf_object python;
    uintptr_t address = look->arguments[0];
    if (!thread_is_in_futex(look) || !look->arguments[3] || !python_object(&python)) {
        return false;
    }
    if (gil_of_wait(look) != GIL_NOT_TOLD) {
        return true;
    }
    const ElfW(Sym) *runtime = real._PyRuntime ? elf_find_export(&python, "_PyRuntime") : NULL;
    if (runtime) {
        return address - (uintptr_t)real._PyRuntime < runtime->st_size;
    }
    for (size_t i = 0; i < python.segment_count; i++) {
        const ElfW(Phdr) *segment = &python.segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) &&
            address - python.bias - segment->p_vaddr < segment->p_memsz) {
            return true;
        }
    }
    return false;
}

static bool is_unseen_waiter(pid_t tid, int64_t *gil) {
    struct thread_look look;
    for (int i = 0; i < 5 && thread_look(tid, &look); i++) {
        if (wait_graph_waits_in_python(&look)) {
            *gil = gil_of_wait(&look);
            return true;
        }
        if (look.state == 'S' && look.call >= 0) {
            return false; /* it sleeps in something else */
        }
        struct timespec pause = {0, 300000};
        nanosleep(&pause, NULL);
    }
    return false;
}

bool wait_graph_is_unseen_waiter(pid_t tid) {
    int64_t gil;
    return is_unseen_waiter(tid, &gil);
}

/* ctypes waits, and holds the GIL, for what it was told to call. */
static bool is_ctypes(const struct elf_object *object) {
    const char *slash = strrchr(object->name, '/');
    return strncmp(slash ? slash + 1 : object->name, "_ctypes.", strlen("_ctypes.")) == 0;
}

/* A small program that only starts CPython, which is in a libpython. */
static bool is_interpreter_main(const struct elf_object *object) {
    return !object->name[0] && strncmp(program_invocation_short_name, "python", 6) == 0;
}

bool wait_graph_may_be_culprit(const struct elf_object *object) {
    struct elf_object python;
    return python_object(&python) && !elf_is_same(object, &python) && !culprit_is_runtime(object) &&
           !culprit_is_pythons_module(object) && !is_ctypes(object) && !is_interpreter_main(object);
}

static const void *find_culprit(const struct stack *stack) {
    struct elf_object python, object;
    bool has_python = python_object(&python), has_called_python = false;
    for (size_t i = 0; has_python && i < stack->count; i++) {
        const char *address = stack->frames[i];
        if (!address || !elf_find_by_address(address - 1, &object) || culprit_is_runtime(&object) ||
            is_ctypes(&object)) {
            continue;
        }
        if (elf_is_same(&object, &python)) {
            has_called_python = true;
        } else if (is_interpreter_main(&object)) {
            return NULL; /* only CPython is in between */
        } else if (!has_called_python || !culprit_is_pythons_module(&object)) {
            return address;
        }
    }
    return NULL;
}

/* Returns the calling site of the last call that was recorded, or NULL if the interpreter's own modules made the call. */
static const void *suspect_of_call(const void *caller) {
    struct elf_object object;
    bool is_own =
        caller && elf_find_by_address((const char *)caller - 1, &object) && culprit_is_pythons_module(&object);
    return is_own ? NULL : caller;
}

static bool take_party(struct party *party, pid_t tid) {
    memset(party, 0, sizeof *party);
    if (!thread_look(tid, &party->look)) {
        return false;
    }
    party->wait = thread_waits_for(&party->look, &party->awaited);
    stacks_take(&party->look, &party->stack);
    party->culprit = find_culprit(&party->stack);
    return true;
}

/* ---- circles ---------------------------------------------------------------------------------------------------- */

static void swap_waiters(struct picture *picture, size_t one, size_t other) {
    struct waiter waiter = picture->waiters[one];
    picture->waiters[one] = picture->waiters[other];
    picture->waiters[other] = waiter;
}

/* Makes any of the waiters one that is reported, with its stack. Returns its new index. */
static int bring_forward(struct picture *picture, size_t index) {
    if (index >= picture->waiter_count) {
        swap_waiters(picture, index, picture->waiter_count);
        index = picture->waiter_count++;
        picture->rest_count--;
        picture->total = picture->waiter_count > picture->total ? picture->waiter_count : picture->total;
    }
    if (index >= PICTURE_WAITERS) {
        swap_waiters(picture, index, PICTURE_WAITERS - 1);
        index = PICTURE_WAITERS - 1;
        picture->has_waiting_look[index] = false;
    }
    if (!picture->has_waiting_look[index]) {
        picture->has_waiting_look[index] = take_party(&picture->waiting[index], picture->waiters[index].tid);
    }
    return (int)index;
}

static int find_waiter(struct picture *picture, pid_t tid) {
    for (size_t i = 0; i < picture->waiter_count + picture->rest_count; i++) {
        if (picture->waiters[i].tid == tid) {
            return bring_forward(picture, i);
        }
    }
    return -1;
}

/* Like find_waiter, but adds a thread that waits in CPython's own loop. `holder`: the one that waits for that thread. */
static int find_or_add_waiter(struct picture *picture, pid_t tid, pid_t holder) {
    int64_t gil = GIL_NOT_TOLD;
    int found = find_waiter(picture, tid);
    if (found >= 0 || tid == holder || picture->added == PICTURE_EXTRA || !is_unseen_waiter(tid, &gil)) {
        return found;
    }
    picture->added++;
    size_t index = picture->waiter_count + picture->rest_count++;
    struct waiter *waiter = &picture->waiters[index];
    struct thread_look look;
    memset(waiter, 0, sizeof *waiter);
    waiter->tid = tid;
    waiter->is_unseen = true;
    waiter->gil = gil;
    waiter->since = ticks_monotonic();
    if (thread_look(tid, &look)) {
        memcpy(waiter->name, look.name, sizeof waiter->name);
    }
    return bring_forward(picture, index);
}

/* Returns true if the waiter may wait for the GIL that the picture is of. */
static bool is_of_this_gil(const struct picture *picture, const struct waiter *waiter) {
    return waiter->gil == picture->gil || waiter->gil == GIL_NOT_TOLD || picture->gil == GIL_NOT_TOLD;
}

/* Finds the first of all waiters for this GIL whose stack satisfies `is_so`. */
static int find_by_stack(struct picture *picture, bool (*is_so)(const struct stack *stack, const void *what),
                         const void *what) {
    static struct party further;
    for (size_t i = 0; i < picture->waiter_count + picture->rest_count; i++) {
        bool is_taken = i < PICTURE_WAITERS && picture->has_waiting_look[i];
        if (!is_of_this_gil(picture, &picture->waiters[i])) {
            continue;
        }
        if ((is_taken && is_so(&picture->waiting[i].stack, what)) ||
            (!is_taken && take_party(&further, picture->waiters[i].tid) && is_so(&further.stack, what))) {
            return bring_forward(picture, i);
        }
    }
    return -1;
}

/* Follows the mutex that the holder waits for to its owner, which may wait for another mutex, and so on to a thread that waits
 * for a GIL. Returns its index, or -1. */
static int follow_mutexes(struct picture *picture, pid_t holder, pid_t owner, unsigned *between) {
    enum { LONGEST = 8 };
    for (*between = 0; *between < LONGEST; ++*between) {
        struct thread_look look;
        int found = find_or_add_waiter(picture, owner, holder);
        if (found >= 0) {
            return found;
        }
        if (owner == holder || !thread_look(owner, &look) || thread_waits_for(&look, &owner) != THREAD_WAITS_MUTEX) {
            break;
        }
    }
    return -1;
}

/* Finds the waiter that has to get its GIL before the holder can go on. Returns its index, or -1. */
static int find_blocker(struct picture *picture, pid_t holder, enum thread_wait wait, pid_t awaited,
                        enum blocked_by *by, unsigned *between) {
    int found = find_waiter(picture, holder);
    *by = BLOCKED_ITSELF;
    *between = 0;
    if (found < 0 && wait == THREAD_WAITS_MUTEX) {
        *by = BLOCKED_BY_MUTEX;
        found = follow_mutexes(picture, holder, awaited, between);
    } else if (found < 0 && wait == THREAD_WAITS_THREAD) {
        *by = BLOCKED_BY_JOIN;
        found = find_or_add_waiter(picture, awaited, holder);
    }
    return found;
}

static bool is_own_frame(const void *frame) {
    struct elf_object object;
    return frame && elf_find_by_address((const char *)frame - 1, &object) && real_is_self(&object);
}

/* Returns the function that calls __cxa_guard_acquire, or NULL if there is none. With check=locks, a function of ours is
 * in between. */
static void *guarded_function(const struct stack *stack) {
    for (size_t i = 0; i + 1 < stack->sure && i < 6; i++) {
        if (symbol_is(stack->frames[i], "__cxa_guard_acquire")) {
            bool is_wrapped = i + 2 < stack->sure && is_own_frame(stack->frames[i + 1]);
            return stacks_function_of(stack->frames[i + 1 + is_wrapped]);
        }
    }
    return NULL;
}

/* Returns true if the thread is inside the function, not counting its innermost frames, which wait for the GIL. */
static bool is_in_function(const struct stack *stack, const void *function) {
    for (size_t frame = 2; frame < stack->sure; frame++) {
        if (stacks_function_of(stack->frames[frame]) == function) {
            return true;
        }
    }
    return false;
}

static bool is_guard(struct picture *picture) {
    const void *function = guarded_function(&picture->holding.stack);
    picture->partner = function ? find_by_stack(picture, is_in_function, function) : -1;
    return picture->partner >= 0;
}

/* pthread_once of glibc sleeps in the function that also runs the initialization, which is further out on the other's
 * stack. */
static bool is_once(struct picture *picture) {
    struct elf_object object;
    const struct stack *stack = &picture->holding.stack;
    if (!thread_is_in_futex(&picture->holding.look) || !stack->sure ||
        !elf_find_by_address(stack->frames[0], &object) || !strstr(object.name, "/libc")) {
        return false;
    }
    const void *function = stacks_function_of(stack->frames[0]);
    picture->partner = function ? find_by_stack(picture, is_in_function, function) : -1;
    return picture->partner >= 0;
}

static bool is_in_library(const struct stack *stack, const void *what) {
    const struct elf_object *library = what;
    for (size_t i = 0; i < stack->count; i++) {
        struct elf_object object;
        if (stack->frames[i] && elf_find_by_address((const char *)stack->frames[i] - 1, &object) &&
            object.segments == library->segments) {
            return true;
        }
    }
    return false;
}

/* A lock whose owner cannot be told: a library's own, Rust's, a condition variable (HDF5's global lock,
 * std::sync::Once). The library whose function sleeps in it is anywhere on the waiter's stack, not only as its
 * caller. */
static bool is_inside_same(struct picture *picture) {
    struct elf_object library;
    const void *culprit = picture->holding.culprit;
    if (!culprit || !thread_is_in_futex(&picture->holding.look) ||
        !elf_find_by_address((const char *)culprit - 1, &library)) {
        return false;
    }
    picture->partner = find_by_stack(picture, is_in_library, &library);
    return picture->partner >= 0;
}

/* ---- circles across several GILs -------------------------------------------------------------------------------- */

static const void *place_of(const struct party *party, pid_t tid, struct journal_thread *thread) {
    int index = journal_find(tid);
    memset(thread, 0, sizeof *thread);
    bool is_known = index >= 0 && journal_read_thread((unsigned)index, thread);
    return party->culprit ? party->culprit : is_known ? suspect_of_call(thread->now.caller) : NULL;
}

static void note_step(struct picture *picture, const struct holder *holder, const struct party *party,
                      enum blocked_by by, unsigned between, int64_t gil, int blocker) {
    struct step *step = &picture->steps[picture->step_count++];
    struct journal_thread thread;
    *step = (struct step){.gil = gil, .holder = *holder, .by = by, .between = between};
    step->place = place_of(party, holder->tid, &thread);
    step->waiter = picture->waiters[blocker];
    step->waiters_place = wait_graph_place_of_waiter(picture, (size_t)blocker);
    memcpy(step->name, thread.python_name, sizeof step->name);
    if (!step->name[0]) {
        memcpy(step->name, party->look.name, sizeof party->look.name);
    }
}

/* Goes on from the waiter that this GIL's holder can't do without, to the holder of the GIL that it waits for, and so on.
 * Returns true if that comes back to a waiter for this GIL. */
static bool is_across(struct picture *picture, int blocker, enum blocked_by by, unsigned between) {
    static struct party next;
    const struct party *party = &picture->holding;
    struct holder holder = picture->holder;
    int64_t gil = picture->gil;
    for (picture->step_count = 0; blocker >= 0 && picture->step_count < PICTURE_STEPS;) {
        int64_t wanted = picture->waiters[blocker].gil;
        if (wanted == GIL_NOT_TOLD || wanted == gil) {
            break; /* a circle of that GIL's own, to which this one only leads */
        }
        note_step(picture, &holder, party, by, between, gil, blocker);
        if (wanted == picture->gil) {
            picture->partner = blocker;
            return true;
        }
        pid_t waiter = picture->waiters[blocker].tid;
        gil = wanted;
        holder_find(waiter, false, gil, &holder);
        party = &next;
        if (holder.kind != HOLDER_THREAD || !take_party(&next, holder.tid)) {
            break;
        }
        blocker = find_blocker(picture, holder.tid, next.wait, next.awaited, &by, &between);
    }
    picture->step_count = 0;
    return false;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static enum wait_graph_kind find_circle(struct picture *picture) {
    static const enum wait_graph_kind kinds[] = {
        [BLOCKED_ITSELF] = PICTURE_SELF, [BLOCKED_BY_MUTEX] = PICTURE_LOCK_ORDER, [BLOCKED_BY_JOIN] = PICTURE_JOIN};
    enum blocked_by by;
    const struct party *holding = &picture->holding;
    int blocker = find_blocker(picture, picture->holder.tid, holding->wait, holding->awaited, &by, &picture->between);
    if (blocker >= 0 && is_of_this_gil(picture, &picture->waiters[blocker])) {
        picture->partner = blocker;
        return kinds[by];
    }
    if (is_across(picture, blocker, by, picture->between)) {
        return PICTURE_ACROSS;
    }
    picture->between = 0;
    if (is_guard(picture)) {
        return PICTURE_GUARD;
    }
    if (is_once(picture)) {
        return PICTURE_ONCE;
    }
    return is_inside_same(picture) ? PICTURE_INSIDE : PICTURE_PLAIN;
}

void wait_graph_take(struct picture *picture, struct waiter *waiters, size_t count, size_t total, size_t rest) {
    memset(picture, 0, sizeof *picture);
    picture->waiters = waiters;
    picture->waiter_count = count;
    picture->rest_count = rest;
    picture->total = total;
    picture->partner = -1;
    picture->gil = count ? waiters[0].gil : GIL_NOT_TOLD;
    holder_find(count ? waiters[0].tid : 0, true, picture->gil, &picture->holder);
    picture->has_begun = picture->gil == GIL_PAUSE && gil_pause_has_begun();
    for (size_t i = 0; i < count && i < PICTURE_WAITERS; i++) {
        picture->has_waiting_look[i] = take_party(&picture->waiting[i], waiters[i].tid);
    }
    if (picture->holder.kind == HOLDER_THREAD) {
        int index = journal_find(picture->holder.tid);
        picture->has_record = index >= 0 && journal_read_thread((unsigned)index, &picture->record);
        picture->has_holder_look = take_party(&picture->holding, picture->holder.tid);
    }
    if (picture->has_holder_look) {
        picture->kind = find_circle(picture);
    }
}

bool wait_graph_attached_at(const struct picture *picture, const void **place, uint16_t *call) {
    struct journal_event event;
    unsigned index;
    if (!journal_find_attach_by(picture->holder.tid, picture->holder.state, &event, &index) ||
        event.kind == JOURNAL_NEW || !event.caller) {
        return false;
    }
    *place = event.caller;
    *call = event.call;
    return true;
}

const void *wait_graph_place_of_holder(const struct picture *picture) {
    if (picture->holding.culprit) {
        return picture->holding.culprit;
    }
    return picture->has_record ? suspect_of_call(picture->record.now.caller) : NULL;
}

const void *wait_graph_caller_of_holder(const struct picture *picture) {
    struct elf_object python, library, object;
    const struct stack *stack = &picture->holding.stack;
    const char *culprit = picture->holding.culprit;
    bool is_beyond = false;
    if (!culprit || !python_object(&python) || !elf_find_by_address(culprit - 1, &library)) {
        return NULL;
    }
    for (size_t i = 0; i < stack->sure; i++) {
        const char *address = stack->frames[i];
        is_beyond |= address == culprit;
        if (!is_beyond || !address || !elf_find_by_address(address - 1, &object) || elf_is_same(&object, &library)) {
            continue;
        }
        return wait_graph_may_be_culprit(&object) ? address : NULL;
    }
    return NULL;
}

const void *wait_graph_place_of_waiter(const struct picture *picture, size_t index) {
    if (picture->waiters[index].caller) {
        return picture->waiters[index].caller;
    }
    return index < PICTURE_WAITERS ? picture->waiting[index].culprit : NULL;
}
