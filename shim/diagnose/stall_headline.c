#include "diagnose/stall_headline.h"

#include "cpython/gil.h"
#include "diagnose/stall_across.h"
#include "diagnose/stall_words.h"
#include "system/symbol.h"

void stall_add_holder(struct text *text, const struct picture *picture) {
    const char *name = picture->has_record ? picture->record.python_name : "";
    stall_add_thread(text, picture->holder.tid, name, picture->holding.look.name);
}

void stall_add_waiting_call(struct text *text, const struct picture *picture, size_t index) {
    stall_add_call(text, &picture->waiters[index], wait_graph_place_of_waiter(picture, index));
}

static void add_place_of_holder(struct text *text, const struct picture *picture, const char *before) {
    const void *place = wait_graph_place_of_holder(picture);
    text_add(text, "(");
    text_add(text, before);
    if (place) {
        symbol_add(text, place);
    } else {
        text_add(text, "CPython itself");
    }
    const void *caller = wait_graph_caller_of_holder(picture);
    if (caller) {
        text_add(text, ", called by ");
        symbol_add(text, caller);
    }
    text_add(text, ")");
}

/* After "holds it": adds how the holder came to hold the GIL with no state attached, if that is so. */
static void add_without_state(struct text *text, const struct picture *picture) {
    if (picture->holder.state) {
        return;
    }
    text_add(text, " without a thread state");
    if (picture->has_record && picture->record.now.phase == JOURNAL_HOLDS) {
        text_add(text, " (since ");
        text_add(text, stall_call_name(picture->record.now.call));
        text_add(text, " by ");
        symbol_add(text, picture->record.now.caller);
        text_add(text, ")");
    }
}

/* Adds the libraries from which the two threads came. If they met in a library that is neither's own, it is the
 * third. */
static void add_both(struct text *text, const struct picture *picture) {
    const void *waiter = wait_graph_place_of_waiter(picture, (size_t)picture->partner);
    const void *holder = wait_graph_place_of_holder(picture);
    const void *caller = wait_graph_caller_of_holder(picture);
    bool has_third = picture->kind == PICTURE_INSIDE || picture->kind == PICTURE_ONCE || picture->kind == PICTURE_GUARD;
    stall_add_libraries(text, waiter, has_third && caller ? caller : holder, holder);
}

static void add_circle(struct text *text, const struct picture *picture) {
    if (picture->kind == PICTURE_ACROSS) {
        stall_add_across(text, picture);
        return;
    }
    size_t partner = (size_t)picture->partner;
    text_add(text, picture->is_doubtful ? "stall: possible deadlock " : "stall: deadlock ");
    const void *attached_at;
    uint16_t attached_by;
    if (picture->kind == PICTURE_SELF && wait_graph_attached_at(picture, &attached_at, &attached_by)) {
        text_add(text, "of a thread with itself, in ");
        stall_add_library(text, attached_at);
        text_add(text, ", which attached a state (");
        text_add(text, stall_call_name(attached_by));
        text_add(text, " at ");
        symbol_add(text, attached_at);
        text_add(text, ")");
    } else if (picture->kind == PICTURE_SELF && picture->attacher) {
        text_add(text, "of a thread with itself, in ");
        stall_add_library(text, picture->attacher);
        text_add(text, ", which most likely attached a state");
    } else if (picture->kind == PICTURE_SELF) {
        text_add(text, "of a thread with itself, in ");
        stall_add_library(text, wait_graph_place_of_waiter(picture, partner));
    } else {
        add_both(text, picture);
    }
    text_add(text, ": ");
    stall_add_waiter(text, &picture->waiters[partner]);
    text_add(text, " waits for ");
    if (picture->gil == GIL_PAUSE) {
        stall_add_awaited(text, &picture->waiters[partner]);
    } else {
        stall_add_gil(text, picture->gil);
    }
    text_add(text, " ");
    stall_add_waiting_call(text, picture, partner);
    switch (picture->kind) {
    case PICTURE_SELF:
        text_add(text, " that it holds itself ");
        add_place_of_holder(text, picture, "in ");
        return;
    case PICTURE_LOCK_ORDER:
        text_add(text, picture->between ? " in a circle of mutexes at whose end is" : " and has the mutex that");
        break;
    case PICTURE_GUARD: text_add(text, " while it initializes the C++ static that"); break;
    case PICTURE_INSIDE: text_add(text, " inside the library in whose lock"); break;
    case PICTURE_ONCE: text_add(text, " inside the pthread_once (std::call_once) that"); break;
    case PICTURE_JOIN: text_add(text, " and"); break;
    case PICTURE_ACROSS:
    case PICTURE_PLAIN: break;
    }
    text_add(text, " ");
    stall_add_holder(text, picture);
    text_add(text, picture->gil != GIL_PAUSE ? ", which holds the GIL"
                   : picture->has_begun      ? ", which has paused them"
                                             : ", which stays attached");
    add_without_state(text, picture);
    if (picture->kind == PICTURE_JOIN) {
        text_add(text, ", waits for that thread's end ");
    } else if (picture->kind == PICTURE_INSIDE) {
        text_add(text, ", sleeps ");
    } else {
        text_add(text, picture->between ? " " : ", waits for ");
    }
    add_place_of_holder(text, picture, "in ");
}

/* "libfoo.so has the GIL: ", or without a GIL "libfoo.so delays a pause of all threads: ". */
static void add_library_of_holder(struct text *text, const struct picture *picture) {
    stall_add_library(text, wait_graph_place_of_holder(picture));
    if (picture->gil == GIL_PAUSE) {
        text_add(text, picture->has_begun ? " has paused all threads: " : " delays a pause of all threads: ");
        return;
    }
    text_add(text, " has ");
    stall_add_gil(text, picture->gil);
    text_add(text, ": ");
}

/* After the name of the thread that holds the GIL, or has to do with the pause. */
static const char *does_what(const struct picture *picture) {
    return picture->gil != GIL_PAUSE ? " holds it" : picture->has_begun ? " has asked for it" : " stays attached";
}

static void add_no_holder(struct text *text, const struct picture *picture) {
    if (picture->gil == GIL_PAUSE && picture->holder.kind == HOLDER_NONE) {
        text_add(text, "there is no pause just now");
        return;
    }
    switch (picture->holder.kind) {
    case HOLDER_THREAD: break;
    case HOLDER_UNKNOWN:
        text_add(text, "a Python thread that never called through a module");
        text_add(text, does_what(picture));
        break;
    case HOLDER_NONE:
        text_add(text, "no thread has a state attached: it is free just now, or held without a state");
        break;
    case HOLDER_UNSEEN: text_add(text, "none of the threads that could be looked at has a state attached"); break;
    }
}

static void add_plain(struct text *text, const struct picture *picture, uint64_t now) {
    const struct waiter *waiter = &picture->waiters[0];
    text_add(text, "stall: ");
    if (picture->holder.kind == HOLDER_THREAD && wait_graph_place_of_holder(picture)) {
        add_library_of_holder(text, picture);
    }
    stall_add_waiter(text, waiter);
    text_add(text, waiter->is_timeless ? " waits for " : " has waited for ");
    if (picture->gil == GIL_PAUSE) {
        stall_add_awaited(text, waiter);
    } else {
        stall_add_gil(text, picture->gil);
    }
    if (!waiter->is_timeless) {
        text_add(text, " for ");
        text_add(text, waiter->is_older ? "at least " : "");
        stall_add_seconds(text, now - waiter->since);
    }
    text_add(text, " ");
    stall_add_waiting_call(text, picture, 0);
    text_add(text, "; ");
    if (picture->holder.kind != HOLDER_THREAD) {
        add_no_holder(text, picture);
        return;
    }
    stall_add_holder(text, picture);
    text_add(text, does_what(picture));
    add_without_state(text, picture);
    text_add(text, " ");
    add_place_of_holder(text, picture, "in ");
}

void stall_add_headline(struct text *text, const struct picture *picture, uint64_t now) {
    if (picture->kind == PICTURE_PLAIN) {
        add_plain(text, picture, now);
    } else {
        add_circle(text, picture);
    }
}
