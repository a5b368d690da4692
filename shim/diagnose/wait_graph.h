/* What a stall looks like: which threads wait for the GIL, which one holds it, what the holder sleeps in, and whether
 * they form a circle. Writes nothing. For the watch thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "diagnose/holder.h"
#include "diagnose/stacks.h"
#include "journal/journal.h"
#include "system/elf.h"
#include "system/thread.h"

/* A thread that waits for the GIL. */
struct waiter {
    pid_t tid;
    bool is_unseen;     /* it waits in CPython's own loop, not in a call that the shim saw */
    bool is_older;      /* it may have waited since before `since` */
    bool is_timeless;   /* `since` is not known: from a core file */
    uint16_t call;      /* seen: the API function, as an index into real_api_names */
    const void *caller; /* seen: return address in the module that called it */
    const void *state;  /* seen: the state that it is to attach; NULL: not known */
    int64_t gil;        /* which GIL, as gil.h calls it; GIL_NOT_TOLD: there is one only, or it can't be told */
    uint64_t since;     /* ns of CLOCK_MONOTONIC; unseen: since when it was found so at every look */
    uint64_t moves; /* unseen: a number that changes when that GIL goes from one thread to another, as it was then */
    char python_name[32]; /* "" if it is not known */
    char name[16];
};

enum wait_graph_kind {
    PICTURE_PLAIN,      /* no circle is seen */
    PICTURE_SELF,       /* the thread waits for the GIL that it holds itself */
    PICTURE_LOCK_ORDER, /* the holder waits for a mutex, and the mutex's owner for the GIL */
    PICTURE_GUARD,  /* the holder waits for another thread's initialization of a C++ static, which waits for the GIL */
    PICTURE_ONCE,   /* like PICTURE_GUARD, with pthread_once or std::call_once */
    PICTURE_INSIDE, /* the holder sleeps in a lock of a library that the waiter is inside, too: most likely the same */
    PICTURE_JOIN,   /* the holder waits for the end of a thread that waits for the GIL */
    PICTURE_ACROSS, /* several GILs: holders that can't go on before a thread gets another GIL, in a circle */
};

/* What a thread can't go on without. */
enum blocked_by {
    BLOCKED_ITSELF,   /* it waits for a GIL itself */
    BLOCKED_BY_MUTEX, /* it waits for a mutex whose owner, or the owner of the next mutex and so on, waits for a GIL */
    BLOCKED_BY_JOIN,  /* it waits for the end of a thread that waits for a GIL */
};

/* One step of PICTURE_ACROSS: who holds a GIL, and who has to get the next one before the holder can go on. */
struct step {
    int64_t gil;
    struct holder holder;
    char name[32]; /* the holder's */
    enum blocked_by by;
    unsigned between;     /* BLOCKED_BY_MUTEX: number of further threads with mutexes in between */
    const void *place;    /* where the holder stands; NULL: in CPython itself */
    struct waiter waiter; /* BLOCKED_ITSELF: the holder */
    const void *waiters_place;
};

/* A thread at the time of the look. */
struct party {
    struct thread_look look;
    enum thread_wait wait;
    pid_t awaited; /* the thread that `wait` is for */
    struct stack stack;
    const void *culprit; /* innermost address in a library that is neither a system library nor CPython; NULL: none */
};

enum {
    PICTURE_WAITERS = 6, /* the number of waiters whose stacks are taken */
    PICTURE_STEPS = 4,   /* the number of GILs in a circle across them, at most */
    /* The number of waiters unknown to the caller that wait_graph_take may add. */
    PICTURE_EXTRA = 1 + PICTURE_STEPS,
};

struct picture {
    enum wait_graph_kind kind;
    bool is_doubtful; /* set by the caller: PICTURE_INSIDE may also be a long call that gets on elsewhere */
    /* Set by the caller: PICTURE_SELF, an address in the library that has most likely attached the state that the thread holds;
     * NULL: not known. */
    const void *attacher;
    struct holder holder;
    bool has_holder_look; /* true if `holding` is filled */
    struct party holding;
    bool has_record;
    struct journal_thread record; /* the holder's, if has_record */
    size_t total;                 /* number of threads that wait */
    size_t waiter_count;          /* how many of them are in `waiters`; the first ones are in `waiting`, too */
    size_t rest_count;            /* how many follow them in `waiters` that may yet close the circle */
    struct waiter *waiters;
    struct party waiting[PICTURE_WAITERS];
    bool has_waiting_look[PICTURE_WAITERS];
    int partner;      /* index of the waiter that closes the circle; -1: none, or it is not among the waiters */
    unsigned between; /* PICTURE_LOCK_ORDER: number of further threads with mutexes in the circle */
    int64_t gil;      /* which GIL it is about */
    bool has_begun;   /* GIL_PAUSE: all threads are paused, and the "holder" is the one that asked for it */
    size_t added;     /* how many waiters wait_graph_take has added */
    /* PICTURE_ACROSS: the first is this GIL's holder, and the waiter of each waits for the GIL of the next; that of the last, the
     * partner, for this GIL. */
    size_t step_count;
    struct step steps[PICTURE_STEPS];
};

/* Takes the picture. `waiters` holds `count` of `total` waiters, the longest first; the pointer is kept. They are
 * followed by `rest` others, which have waited for a shorter time or were left out because there are too many: one of
 * them may close the circle, and is then reported. There must be room for PICTURE_EXTRA more, because a thread that
 * others wait for may turn out to wait for the GIL in CPython's own loop. If there are several GILs, the picture is of the first
 * waiter's, which the other `count` wait for, too. */
void wait_graph_take(struct picture *picture, struct waiter *waiters, size_t count, size_t total, size_t rest);

/* PICTURE_SELF: sets where the state that the thread holds was attached, and by which call. Returns false if it is not
 * known. */
bool wait_graph_attached_at(const struct picture *picture, const void **place, uint16_t *call);

/* Return where a thread stands: an address in its own library, else where it last called the API. Return NULL if it is
 * in CPython itself, as far as can be told. */
const void *wait_graph_place_of_holder(const struct picture *picture);
const void *wait_graph_place_of_waiter(const struct picture *picture, size_t index);

/* Returns from where the holder entered the library that it stands in, if from another library. Returns NULL if from
 * Python code, or if it is not known. */
const void *wait_graph_caller_of_holder(const struct picture *picture);

/* Returns true if the thread sleeps on a futex in CPython's own data, or in any interpreter's GIL, where CPython keeps the GIL's condition
 * variable. */
bool wait_graph_waits_in_python(const struct thread_look *look);

/* Returns true if the thread is in a wait for the GIL that the shim did not see. Looks several times, because such a
 * wait is interrupted every few milliseconds. */
bool wait_graph_is_unseen_waiter(pid_t tid);

/* Returns true if the object may be named as the culprit: it is neither CPython nor a library like libc. */
bool wait_graph_may_be_culprit(const struct elf_object *object);
