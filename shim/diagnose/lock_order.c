#include "diagnose/lock_order.h"
#include "cpython/gil.h"

#include <pthread.h>
#include <string.h>

#include "diagnose/gil_waits.h"
#include "diagnose/lock_finding.h"
#include "diagnose/lock_report.h"
#include "diagnose/lock_table.h"
#include "diagnose/report.h"
#include "process/options.h"
#include "system/aside.h"
#include "system/loader.h"

bool lock_order_is_on;

static void after_fork_in_child(void) {
    held_locks_forked();
    gil_waits_forked();
}

void lock_order_start(void) {
    if (!options.check_locks || options.mode == MODE_OFF) {
        return;
    }
    lock_order_is_on = lock_table_start() && pthread_atfork(NULL, NULL, after_fork_in_child) == 0;
    if (!lock_order_is_on) {
        report_line("warning: no memory for check=locks: no lock is judged");
    }
}

/* ---- what there was no room for --------------------------------------------------------------------------------- */

static void tell_lost(void *unused) {
    (void)unused;
    char buffer[200];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "warning: check=locks can't judge every lock: ");
    text_add_decimal(&text, held_locks_lost());
    text_add(&text, " taken by threads that held 16 already, ");
    text_add_decimal(&text, lock_table_dropped());
    text_add(&text, " locks and orders found the tables full");
    report_line(text_end(&text));
}

void lock_order_tell_lost(void) {
    static bool is_told;
    if ((held_locks_lost() || lock_table_dropped()) && !__atomic_exchange_n(&is_told, true, __ATOMIC_RELAXED)) {
        aside_run(tell_lost, NULL);
    }
}

/* ---- noting an order -------------------------------------------------------------------------------------------- */

/* Returns true if all of this is known of the order. Nothing is written then, so the threads that take the same locks
 * share these lines. `reads`: LOCK_READ_FIRST, LOCK_READ_SECOND. */
static inline bool is_known(const struct lock_order_seen *seen, uint32_t reads) {
    uint32_t state = __atomic_load_n(&seen->state, __ATOMIC_ACQUIRE);
    return (state & LOCK_SEEN) && !((state & ~reads) & (LOCK_READ_FIRST | LOCK_READ_SECOND)) &&
           ((state & LOCK_MANY) || seen->tid == held_locks_tid()) &&
           seen->closings == __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
}

/* Notes the order. Returns false if another thread is about to do so. */
static bool note(struct lock_order_seen *seen, const void *held_site, const void *site, uint16_t call, uint32_t reads) {
    uint32_t state = __atomic_load_n(&seen->state, __ATOMIC_ACQUIRE);
    if ((state & LOCK_CLAIMED) || !__atomic_compare_exchange_n(&seen->state, &state, state | LOCK_CLAIMED, false,
                                                               __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
        return false;
    }
    unsigned closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
    bool is_first = !(state & LOCK_SEEN) || seen->closings != closings;
    bool is_stronger = (state & ~reads & (LOCK_READ_FIRST | LOCK_READ_SECOND)) != 0;
    uint32_t after = is_first ? LOCK_SEEN | reads : state & (reads | ~(uint32_t)(LOCK_READ_FIRST | LOCK_READ_SECOND));
    after |= !is_first && seen->tid != held_locks_tid() ? LOCK_MANY : 0;
    if (is_first || is_stronger) {
        seen->tid = held_locks_tid();
        seen->held_site = held_site;
        seen->site = site;
        seen->call = call;
        seen->closings = closings;
    }
    __atomic_store_n(&seen->state, after, __ATOMIC_RELEASE);
    return true;
}

/* ---- circles ---------------------------------------------------------------------------------------------------- */

static bool is_seen(const struct lock_order_seen *seen) {
    return (__atomic_load_n(&seen->state, __ATOMIC_ACQUIRE) & LOCK_SEEN) &&
           seen->closings == __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
}

/* Readers do not wait for readers. */
static bool can_wait(const struct lock_order_seen *before, const struct lock_order_seen *after) {
    return !before || !after || !((before->state & LOCK_READ_SECOND) && (after->state & LOCK_READ_FIRST));
}

static struct lock_step step_of(int first, int second, const struct lock_order_seen *seen) {
    return (struct lock_step){
        .first = first == LOCK_NONE ? NULL : lock_table_address(first),
        .second = second == LOCK_NONE ? NULL : lock_table_address(second),
        .first_kind = first == LOCK_NONE ? 0 : lock_table_node(first)->kind,
        .second_kind = second == LOCK_NONE ? 0 : lock_table_node(second)->kind,
        .seen = *seen,
    };
}

/* A search looks through so many locks at most. */
enum { LOCKS_LOOKED_AT = 32 };
struct search {
    bool is_back; /* from the lock to what was taken before it, up to the GIL; else to what was taken after it */
    int visited[LOCKS_LOOKED_AT];
    unsigned count;
    struct lock_step *steps; /* the way, from the lock where the search began */
    unsigned length, room;
};

static bool visit(struct search *search, int number) {
    for (unsigned i = 0; i < search->count; i++) {
        if (search->visited[i] == number) {
            return false;
        }
    }
    if (search->count == LOCKS_LOOKED_AT || search->length == search->room) {
        return false;
    }
    search->visited[search->count++] = number;
    return true;
}

/* Adds the order between the lock and the other one, if it can be on the way next to `beside`. */
static bool take_step(struct search *search, int number, int other, const struct lock_order_seen *seen,
                      const struct lock_order_seen *beside) {
    if (!is_seen(seen) || !(search->is_back ? can_wait(seen, beside) : can_wait(beside, seen))) {
        return false;
    }
    search->steps[search->length++] = search->is_back ? step_of(other, number, seen) : step_of(number, other, seen);
    return true;
}

/* Finds a way of orders between the lock and the GIL. `beside`: the order that the way continues. The depth is limited by
 * the room for steps. */
static bool find_way(struct search *search, int number, const struct lock_order_seen *beside) {
    const struct lock_node *node = lock_table_node(number);
    const struct lock_order_seen *seen;
    int other;
    if (!visit(search, number)) {
        return false;
    }
    if (take_step(search, number, LOCK_NONE, search->is_back ? &node->gil_first : &node->gil_second, beside)) {
        return true;
    }
    for (uint32_t index = 0; (seen = search->is_back ? lock_table_next_to(number, &index, &other)
                                                     : lock_table_next_from(number, &index, &other));) {
        if (take_step(search, number, other, seen, beside)) {
            if (find_way(search, other, seen)) {
                return true;
            }
            search->length--;
        }
    }
    return false;
}

/* Completes the circle that goes through this order. */
static bool find_circle(struct lock_finding *finding, int first, int second, const struct lock_order_seen *seen) {
    struct lock_step before[LOCK_STEPS / 2];
    memset(before, 0, sizeof before);
    struct search back = {.is_back = true, .steps = before, .room = first == LOCK_NONE ? 0 : LOCK_STEPS / 2};
    if (first != LOCK_NONE && !find_way(&back, first, seen)) {
        return false;
    }
    for (unsigned i = back.length; i-- > 0;) {
        finding->steps[finding->count++] = before[i];
    }
    finding->steps[finding->count++] = step_of(first, second, seen);
    if (second != LOCK_NONE) {
        struct search on = {.steps = finding->steps + finding->count, .room = LOCK_STEPS - finding->count};
        if (!find_way(&on, second, seen)) {
            return false;
        }
        finding->count += on.length;
    }
    return true;
}

/* One thread can't deadlock with itself. But the initialization of a static variable is one thread's, whoever waits for
 * it, and the compiler's code asks for it only until it is done. (A thread that calls pthread_once a second time itself
 * finds it done.) */
static bool has_threads(const struct lock_finding *finding) {
    uint32_t tid = finding->steps[0].seen.tid;
    for (unsigned i = 0; i < finding->count; i++) {
        const struct lock_step *step = &finding->steps[i];
        bool is_guard = step->second && step->second_kind == LOCK_GUARD;
        if (step->seen.tid != tid || (step->seen.state & LOCK_MANY) || is_guard) {
            return true;
        }
    }
    return false;
}

/* The place of a lock on a stack becomes another's without notice. So its orders must come from one library. */
static bool is_one_lock(const struct lock_finding *finding, bool is_on_stack) {
    for (unsigned i = 0; is_on_stack && i + 1 < finding->count; i++) {
        if (loader_object_of(finding->steps[i].seen.site) != loader_object_of(finding->steps[i + 1].seen.held_site)) {
            return false;
        }
    }
    return true;
}

/* A new order, as an argument for aside_run. */
struct order {
    int first, second;
    const struct lock_order_seen *seen;
};

static void look_aside(void *argument) {
    struct order *order = argument;
    int first = order->first, second = order->second;
    const struct lock_order_seen *seen = order->seen;
    struct lock_finding finding;
    memset(&finding, 0, sizeof finding);
    bool is_on_stack = (first != LOCK_NONE && lock_table_node(first)->is_on_stack) ||
                       (second != LOCK_NONE && lock_table_node(second)->is_on_stack);
    if (gil_is_one() && find_circle(&finding, first, second, seen) && has_threads(&finding) &&
        is_one_lock(&finding, is_on_stack) &&
        lock_finding_is_new(finding.steps[0].seen.site, finding.steps[finding.count - 1].seen.site)) {
        const struct lock_step *last = &finding.steps[finding.count - 1];
        report_find(REPORT_lock_order, last->seen.site, last->seen.call, &finding, &lock_report_words);
    }
}

/* Whether any thread has taken the GIL with a lock held, or waited for a lock with the GIL held. Without both there is
 * no circle. */
static bool is_gil_first, is_gil_second;

static void look_for_circle(int first, int second, const struct lock_order_seen *seen) {
    bool *mine = first == LOCK_NONE ? &is_gil_first : &is_gil_second;
    if ((first == LOCK_NONE || second == LOCK_NONE) && !__atomic_load_n(mine, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(mine, true, __ATOMIC_SEQ_CST);
    }
    if (__atomic_load_n(&is_gil_first, __ATOMIC_SEQ_CST) && __atomic_load_n(&is_gil_second, __ATOMIC_SEQ_CST)) {
        struct order order = {first, second, seen};
        aside_run(look_aside, &order);
    }
}

/* ---- what threads do -------------------------------------------------------------------------------------------- */

struct wait {
    const void *lock;
    enum lock_kind kind;
    bool has_gil;
    const void *site;
    uint16_t call;
};

/* Whether the lock is in the callers' frames. Their stack goes on from here to higher addresses. */
static bool is_on_stack(const void *lock) {
    enum { STACK = 8 << 20 };
    return (uintptr_t)lock - (uintptr_t)__builtin_frame_address(0) < STACK;
}

static int number_of(const void *lock, enum lock_kind kind) {
    return lock_table_add(lock, kind, is_on_stack(lock));
}

static void waits_aside(void *argument) {
    const struct wait *wait = argument;
    int number = number_of(wait->lock, wait->kind);
    if (number == LOCK_NONE) {
        return;
    }
    uint32_t reads = wait->kind == LOCK_READ ? LOCK_READ_SECOND : 0;
    struct lock_order_seen *seen = &lock_table_node(number)->gil_first;
    if (wait->has_gil && !is_known(seen, reads) && note(seen, NULL, wait->site, 0, reads)) {
        look_for_circle(LOCK_NONE, number, seen);
    }
    for (uint32_t i = 0; i < held_locks.count; i++) {
        const void *held = held_locks.locks[i];
        if (!held || held == wait->lock) {
            continue;
        }
        int first = number_of(held, held_locks.kinds[i]);
        seen = first == LOCK_NONE ? NULL : lock_table_order(first, number);
        uint32_t both = reads | (held_locks.kinds[i] == LOCK_READ ? LOCK_READ_FIRST : 0);
        if (!seen || is_known(seen, both)) {
            continue;
        }
        if (held_locks_is_stale((int)i)) {
            held_locks_remove_at((int)i);
        } else if (note(seen, held_locks.sites[i], wait->site, 0, both)) {
            look_for_circle(first, number, seen);
        }
    }
}

/* The common case, without a call: the lock and its orders are known. */
static bool is_all_known(const void *lock, enum lock_kind kind, bool has_gil) {
    int number = lock_table_find(lock);
    uint32_t reads = kind == LOCK_READ ? LOCK_READ_SECOND : 0;
    if (number == LOCK_NONE || (has_gil && !is_known(&lock_table_node(number)->gil_first, reads))) {
        return false;
    }
    for (uint32_t i = 0; i < held_locks.count; i++) {
        const void *held = held_locks.locks[i];
        int first = held && held != lock ? lock_table_find(held) : LOCK_NONE;
        if (first == LOCK_NONE) {
            if (held && held != lock) {
                return false;
            }
            continue;
        }
        uint32_t both = reads | (held_locks.kinds[i] == LOCK_READ ? LOCK_READ_FIRST : 0);
        const struct lock_order_seen *seen = lock_table_order(first, number);
        if (!seen || !is_known(seen, both)) {
            return false;
        }
    }
    return true;
}

void lock_order_waits(const void *lock, enum lock_kind kind, bool has_gil, const void *site) {
    if (held_locks_find(lock) >= 0 || is_all_known(lock, kind, has_gil)) {
        return; /* what it has, it does not wait for */
    }
    held_locks.is_inside = true;
    struct wait wait = {lock, kind, has_gil, site, 0};
    waits_aside(&wait);
    lock_order_tell_lost();
    held_locks.is_inside = false;
}

static void takes_gil_aside(void *argument) {
    const struct wait *wait = argument;
    for (uint32_t i = 0; i < held_locks.count; i++) {
        const void *held = held_locks.locks[i];
        int number = held ? number_of(held, held_locks.kinds[i]) : LOCK_NONE;
        struct lock_order_seen *seen = number == LOCK_NONE ? NULL : &lock_table_node(number)->gil_second;
        uint32_t reads = held_locks.kinds[i] == LOCK_READ ? LOCK_READ_FIRST : 0;
        if (!seen || is_known(seen, reads)) {
            continue;
        }
        if (held_locks_is_stale((int)i)) {
            held_locks_remove_at((int)i);
        } else if (note(seen, held_locks.sites[i], wait->site, wait->call, reads)) {
            look_for_circle(number, LOCK_NONE, seen);
        }
    }
}

void lock_order_takes_gil(uint16_t call, const void *caller) {
    if (!held_locks.count || held_locks.is_inside) {
        return;
    }
    held_locks.is_inside = true;
    struct wait wait = {.site = caller, .call = call};
    takes_gil_aside(&wait);
    lock_order_tell_lost();
    held_locks.is_inside = false;
}

void lock_order_forget(const void *lock) {
    lock_table_forget(lock);
}
