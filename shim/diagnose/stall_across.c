#include "diagnose/stall_across.h"

#include "cpython/gil.h"
#include "diagnose/report.h"
#include "diagnose/stall_words.h"
#include "system/symbol.h"

/* Adds the libraries of the first waiter and of the first holder that is another thread. */
static void add_libraries_across(struct text *text, const struct picture *picture) {
    const struct step *first = &picture->steps[0], *last = &picture->steps[picture->step_count - 1];
    const void *holder = first->by == BLOCKED_ITSELF && !first->place ? first->waiters_place : first->place;
    stall_add_libraries(text, last->waiters_place, holder, holder);
}

/* "which holds it, waits for the end of thread 5, which waits for the GIL of interpreter 0 (PyEval_AcquireThread, ...)" */
static void add_step(struct text *text, const struct picture *picture, size_t index) {
    const struct step *step = &picture->steps[index];
    const struct waiter *first = &picture->waiters[picture->partner];
    bool is_first = step->waiter.tid == first->tid, is_last = index + 1 == picture->step_count;
    stall_add_thread(text, step->holder.tid, step->name, "");
    text_add(text, ", which holds it, waits for ");
    if (step->by == BLOCKED_BY_MUTEX) {
        text_add(text, "a mutex (in ");
    } else if (step->by == BLOCKED_BY_JOIN) {
        text_add(text, "a thread's end (in ");
    }
    if (step->by != BLOCKED_ITSELF) {
        if (step->place) {
            symbol_add(text, step->place);
        } else {
            text_add(text, "CPython itself");
        }
        text_add(text, step->by == BLOCKED_BY_JOIN ? "), that of "
                       : step->between             ? "), in a line of mutexes at whose end is "
                                                   : "), which ");
        if (is_first) {
            text_add(text, "the first thread");
        } else {
            stall_add_waiter(text, &step->waiter);
        }
        text_add(text, step->by == BLOCKED_BY_MUTEX && !step->between ? " has" : "");
        if (is_last) {
            return;
        }
        text_add(text, step->by == BLOCKED_BY_MUTEX && !step->between ? " while it waits for " : ", which waits for ");
    }
    stall_add_gil(text, picture->steps[index + 1].gil);
    text_add(text, " ");
    stall_add_call(text, &step->waiter, step->waiters_place);
}

void stall_add_across(struct text *text, const struct picture *picture) {
    const struct waiter *first = &picture->waiters[picture->partner];
    text_add(text, "stall: deadlock across GILs ");
    add_libraries_across(text, picture);
    text_add(text, ": ");
    stall_add_waiter(text, first);
    text_add(text, " waits for ");
    stall_add_gil(text, picture->gil);
    text_add(text, " ");
    stall_add_call(text, first, wait_graph_place_of_waiter(picture, (size_t)picture->partner));
    for (size_t i = 0; i < picture->step_count; i++) {
        if (picture->steps[i].holder.tid == first->tid) {
            text_add(text, " that the first holds");
            break;
        }
        text_add(text, " and ");
        add_step(text, picture, i);
    }
}

void stall_tell_across(const struct picture *picture) {
    char buffer[1600];
    for (size_t i = 1; i < picture->step_count; i++) {
        const struct step *step = &picture->steps[i];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "  holds: ");
        stall_add_thread(&text, step->holder.tid, step->name, "");
        text_add(&text, ", ");
        stall_add_gil(&text, step->gil);
        text_add(&text, ", state ");
        text_add_hex(&text, (uintptr_t)step->holder.state);
        if (step->place) {
            text_add(&text, ", in ");
            symbol_add(&text, step->place);
        }
        report_line(text_end(&text));
    }
}
