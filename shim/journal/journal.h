/* What each OS thread did lately: a ring of its last events, what it is doing now, and its totals.
 *
 * Each thread writes its own record, without locks and, after its first event, without allocation. Any other thread and
 * any signal handler can read the record at any time. A reader gets a copy, or is told that it could not get one.
 * Records live in pages that are never unmapped. The record of a thread that has ended stays readable, marked as ended,
 * until another thread needs it.
 *
 * Knows nothing of rules. history=, summary=, stall=, timeline= and the modes that watch turn on the recording of every
 * call (journal_is_on); repairs are always recorded as events. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum journal_kind {
    JOURNAL_NONE,
    JOURNAL_ATTACH,  /* RestoreThread, AcquireThread, Py_Initialize, ...: a state was attached */
    JOURNAL_DETACH,  /* SaveThread, ReleaseThread, DeleteCurrent, ...: a state is about to be detached */
    JOURNAL_ENSURE,  /* detail: what PyGILState_Ensure returned; GILSTATE_UNLOCKED (1): it attached the state */
    JOURNAL_RELEASE, /* detail: what PyGILState_Release was given; GILSTATE_UNLOCKED (1): it is about to detach */
    JOURNAL_NEW,     /* a state was made */
    JOURNAL_CLEAR,   /* PyThreadState_Clear is about to run */
    JOURNAL_DELETE,  /* a state is about to be deleted */
    JOURNAL_SWAP,    /* the attached state was exchanged for `state` (NULL: for none) */
    JOURNAL_INTERPRETER_MADE,
    JOURNAL_INTERPRETER_ENDS,
    JOURNAL_INITIALIZE,
    JOURNAL_FINALIZE, /* Py_Finalize is about to run */
    JOURNAL_FORK,     /* the process is a fork child from here on */
    JOURNAL_REPAIR,   /* detail: enum repair */
    JOURNAL_MISUSE,   /* detail: the misuse, by the reporter's numbers */
};

enum { JOURNAL_NO_CALL = 0xffff };

struct journal_event {
    uint64_t number; /* number of the event among the thread's events, from 1 */
    uint64_t time;   /* ticks (ticks.h) at its end; if is_later, those of the thread's event before it */
    uint64_t waited; /* ticks that an attaching call took */
    const void *state;
    const void *interp; /* NULL: not known */
    const void *caller; /* return address in the module that called */
    uint16_t call;      /* the API function, as an index into real_api_names; or JOURNAL_NO_CALL */
    uint8_t kind;       /* enum journal_kind */
    uint8_t detail;
    bool is_later; /* no clock was read: it ended at `time` or later, and before the thread's next event */
};

enum journal_phase {
    JOURNAL_OUTSIDE, /* holds no GIL, as far as its calls show */
    JOURNAL_HOLDS,   /* has `state` attached since `since`, by `call` from `caller` */
    JOURNAL_WAITS, /* in `call` from `caller` since `since`, waiting for the GIL to attach `state` (NULL: not known) */
};

struct journal_now {
    enum journal_phase phase;
    uint16_t call;
    const void *state;
    const void *caller;
    uint64_t since;
    const void *
        under; /* JOURNAL_WAITS: what the thread had attached when it began to wait, as a thread that waits for itself; or NULL */
};

/* Returns true if, by its own calls, the thread has the state attached (NULL: has the GIL without a state). */
static inline bool journal_has_attached(const struct journal_now *now, const void *state) {
    return (now->phase == JOURNAL_HOLDS && now->state == state) ||
           (now->phase == JOURNAL_WAITS && now->under && now->under == state);
}

/* All times are in ticks. A wait is counted if it takes JOURNAL_WAIT_NS or longer. Hold and wait times run between API
 * calls, so the switches that CPython's own loop makes while a state is attached are part of a hold. */
struct journal_totals {
    uint64_t acquisitions;
    uint64_t waits, wait_total, wait_longest;
    uint64_t holds, hold_total, hold_longest;
};
enum { JOURNAL_WAIT_NS = 2000 };

struct journal_thread {
    pid_t tid;
    bool has_ended;
    char name[16];        /* the OS's name of the thread at its first event; "" if names are not kept */
    char python_name[32]; /* "" if it is not known */
    uintptr_t pthread;    /* pthread_self() */
    uint64_t started;     /* ticks at its first event */
    uint64_t ended;       /* ticks; 0: the thread has not ended */
    uint64_t events;      /* number of events so far; the ring has the last of them ... */
    uint64_t kept;        /* ... and room for this many */
    struct journal_now now;
    struct journal_totals totals;
};

/* True if every call is recorded. Constant after the constructor. */
extern bool journal_is_on;

/* True if threads may attach states at the same moment, since there may be no GIL: modules' totals are then added to atomically. Set
 * when a CPython is bound. */
extern bool journal_is_parallel;

/* For the constructor. `events`: the number of events in the ring of a thread, rounded up to a power of two, at most
 * 65536. A ring has fewer if the rings of all threads would take more than 64 MiB, or 256 MiB if `events` is more than
 * 4096. `is_on`: whether every call is recorded. `with_names`: whether the name of each thread is read at its first
 * event, which opens a file. Makes a thread-specific key and installs a fork handler; if that fails, nothing is
 * recorded. */
void journal_start(unsigned events, bool is_on, bool with_names);

/* Called, if set, on a thread that ends, while its record still exists; see owner_before_end (owner.h). */
extern void (*journal_before_end)(bool is_last);

/* Called, if set before a thread's first event, each time that thread has filled a quarter of its ring. It must not
 * write events. */
extern void (*journal_filled_quarter)(void);

/* Called when the calling thread is about to end without running any more of its code. Marks its record as ended. */
void journal_thread_vanishes(void);

/* ---- writing: for the calling thread. Async-signal-safe but for a thread's first event, which may map pages. -------- */

/* Writes an event that does not change what is attached. */
void journal_note(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* Like journal_note, but does not read the clock, which is most of the cost of an event. For the ends of nested blocks,
 * for which no thread waits and which end no hold. */
void journal_note_later(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* Notes that the thread is about to make a call that attaches `state` and may wait for the GIL. Returns the current
 * ticks, for journal_attached. */
uint64_t journal_waits(uint16_t call, const void *state, const void *caller);

/* Writes an event: the thread has attached `state`. `begun`: what journal_waits returned; 0: the thread did not
 * wait. */
void journal_attached(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *interp,
                      const void *caller, uint64_t begun);

/* Writes an event: the thread turned out to have `state` attached already, and goes on holding it. `before`:
 * journal_now() from before journal_waits, if that was called. */
void journal_found(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller,
                   const struct journal_now *before);

/* Writes an event: a state of interpreter `interp` was made. */
void journal_made(enum journal_kind kind, uint16_t call, const void *state, const void *interp, const void *caller);

/* Writes an event: the attached state is about to be detached. */
void journal_detaches(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* Corrects what the thread is doing now if a call did not do what its name says. `attached`: the state that the thread
 * has attached, or NULL. Writes no event. */
void journal_correct(const void *attached, const void *caller);

/* Returns what the thread is doing now, as noted. */
struct journal_now journal_now(void);

/* Notes the Python name of the calling thread once it is known. A name that is too long is cut between two
 * characters. */
void journal_name_thread(const char *python_name);

/* ---- reading: any thread, signal handlers --------------------------------------------------------------------------- */

/* Returns the number of records. They are numbered from 0. */
unsigned journal_count(void);

/* Makes a consistent copy of the record of a thread. Returns false if no thread has this record, or if the thread wrote
 * it at every attempt. */
bool journal_read_thread(unsigned index, struct journal_thread *thread);

/* Returns how many events the calling thread has noted. Async-signal-safe. */
uint64_t journal_own_events(void);

/* Returns the number of the calling thread's record, or -1 if it has none yet. Async-signal-safe. */
int journal_own_index(void);

/* Returns the number of the record of the thread with this tid that has not ended, or -1 if there is none. */
int journal_find(pid_t tid);

/* Copies the last events of a thread, the oldest first, at most `capacity`. Returns how many. *torn is set to the
 * number of events that are missing because the thread overwrote them during the copy. */
unsigned journal_read_events(unsigned index, struct journal_event *events, unsigned capacity, unsigned *torn);

/* Copies the events after the one with the number `after`, the oldest first, at most `capacity`. Returns how many. Gaps
 * in their numbers show which events are missing. */
unsigned journal_read_events_after(unsigned index, uint64_t after, struct journal_event *events, unsigned capacity);

/* Finds the latest event of any thread that attached (or made) `state`, and the number of the record it is in. Returns
 * false if no such event is left. */
bool journal_find_attach(const void *state, struct journal_event *event, unsigned *index);

/* Like journal_find_attach, for the events of that thread only, or of all other threads only. */
bool journal_find_attach_by(pid_t tid, const void *state, struct journal_event *event, unsigned *index);
bool journal_find_attach_by_others(pid_t tid, const void *state, struct journal_event *event, unsigned *index);

/* Returns how many threads have had a record so far, in this process. */
unsigned journal_seen(void);

/* Returns how many threads have no record because there are too many threads or no memory. */
uint64_t journal_unrecorded(void);

/* Returns "ensure", "attach", ...: for human readers. */
const char *journal_kind_name(enum journal_kind kind);
