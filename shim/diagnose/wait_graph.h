/* What a stall looks like: who waits for the GIL, who holds it, what the holder sleeps in, and whether that makes a circle.
 * Nothing is written here. For the watch thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/holder.h"
#include "diagnose/stacks.h"
#include "journal/journal.h"
#include "system/thread.h"

/* A thread that waits for the GIL. */
struct waiter {
    pid_t tid;
    bool is_unseen;       /* it does so in CPython's own loop, not in a call that the shim saw */
    uint16_t call;        /* seen: the API function, an index of real_api_names */
    const void *caller;   /* seen: return address in the module that called it */
    const void *state;    /* seen: the state it is to attach; NULL if not known */
    uint64_t since;       /* ns of CLOCK_MONOTONIC; unseen: since when it was found waiting at every look */
    char python_name[32]; /* "" if not known */
    char name[16];
};

enum wait_graph_kind {
    PICTURE_PLAIN,      /* no circle is seen */
    PICTURE_SELF,       /* the thread waits for the GIL that it holds itself */
    PICTURE_LOCK_ORDER, /* the holder waits for a mutex, and the mutex's owner for the GIL */
    PICTURE_GUARD,  /* the holder waits for another thread's initialization of a C++ static, which waits for the GIL */
    PICTURE_ONCE,   /* the same with pthread_once, std::call_once */
    PICTURE_INSIDE, /* the holder sleeps in a lock of a library that the waiter is inside, too: most likely the same */
    PICTURE_JOIN,   /* the holder waits for the end of a thread that waits for the GIL */
};

/* A thread as it stands. */
struct party {
    struct thread_look look;
    enum thread_wait wait;
    pid_t awaited; /* of wait */
    struct stack stack;
    const void *culprit; /* innermost address in a library that is neither a system library nor CPython; NULL: none */
};

enum {
    PICTURE_WAITERS = 6, /* whose stacks are taken */
    PICTURE_EXTRA = 1,   /* waiters that wait_graph_take may add, of whom the caller knows nothing */
};

struct picture {
    enum wait_graph_kind kind;
    struct holder holder;
    bool has_holder_look; /* the next three are filled */
    struct party holding;
    bool has_record;
    struct journal_thread record; /* the holder's, if has_record */
    size_t total;                 /* threads that wait */
    size_t waiter_count;          /* of these, how many are in `waiters`; the first have a party */
    size_t rest_count;            /* behind them there are these, who may turn out to close the circle */
    struct waiter *waiters;
    struct party waiting[PICTURE_WAITERS];
    bool has_waiting_look[PICTURE_WAITERS];
    int partner;      /* index of the waiter that closes the circle; -1: none, or it is not among the waiters */
    unsigned between; /* PICTURE_LOCK_ORDER: how many further threads with mutexes are in the circle */
};

/* Takes it. `waiters`: the longest first, `count` of `total`; kept by reference. Behind them are `rest` others, who wait as well, but
 * shorter, or are left out of many: one of them may close the circle, and is told of then. There is room for PICTURE_EXTRA more: a
 * thread that others wait for may turn out to wait for the GIL in CPython's own loop. */
void wait_graph_take(struct picture *picture, struct waiter *waiters, size_t count, size_t total, size_t rest);

/* PICTURE_SELF: where the state that the thread holds was attached, and by which call; false: nobody knows. */
bool wait_graph_attached_at(const struct picture *picture, const void **place, uint16_t *call);

/* Where they stand: an address in their own library, else where they were when they called the API last. NULL: in CPython
 * itself, as far as can be told. */
const void *wait_graph_place_of_holder(const struct picture *picture);
const void *wait_graph_place_of_waiter(const struct picture *picture, size_t index);

/* From where the holder came into the library that it stands in, if that was another library; NULL: from Python's code, or not known. */
const void *wait_graph_caller_of_holder(const struct picture *picture);

/* Whether the thread sleeps on a futex of CPython's own data, where it keeps the GIL's condition variable. */
bool wait_graph_waits_in_python(const struct thread_look *look);

/* Whether a thread is at a wait for the GIL that the shim did not see; a few looks are taken, because such a wait is
 * interrupted every few milliseconds. */
bool wait_graph_is_unseen_waiter(pid_t tid);
