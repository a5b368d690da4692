/* What each OS thread did lately: a ring of its last events, what it is doing now, and its totals.
 *
 * Written by the thread itself, without locks or allocation after its first event; readable at any time from any other
 * thread and from a signal handler. A reader gets a copy, or is told that it could not get one. Records live in pages
 * that are never unmapped; the record of a thread that has ended stays readable as such until another thread needs it.
 *
 * Knows nothing of rules. Recording of every call is on with history=, summary=, stall=, timeline= and the modes that
 * watch (journal_is_on); repairs are events in any case. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum journal_kind {
    JOURNAL_NONE,
    JOURNAL_ATTACH,  /* RestoreThread, AcquireThread, Py_Initialize, ...: a state was attached */
    JOURNAL_DETACH,  /* SaveThread, ReleaseThread, DeleteCurrent, ...: is about to be detached */
    JOURNAL_ENSURE,  /* detail: what PyGILState_Ensure returned; GILSTATE_UNLOCKED (1): it attached the state */
    JOURNAL_RELEASE, /* detail: what PyGILState_Release was given; GILSTATE_UNLOCKED (1): it is about to detach */
    JOURNAL_NEW,     /* a state was made */
    JOURNAL_CLEAR,   /* PyThreadState_Clear is about to run */
    JOURNAL_DELETE,  /* a state is about to be deleted */
    JOURNAL_SWAP,    /* the attached state was exchanged for `state` (NULL: for none) */
    JOURNAL_INTERPRETER_MADE,
    JOURNAL_INTERPRETER_ENDS,
    JOURNAL_INITIALIZE,
    JOURNAL_FINALIZE, /* is about to run */
    JOURNAL_FORK,     /* the process is a fork child from here on */
    JOURNAL_REPAIR,   /* detail: enum repair */
    JOURNAL_MISUSE,   /* detail: which one, by the reporter's numbers */
};

enum { JOURNAL_NO_CALL = 0xffff };

struct journal_event {
    uint64_t number; /* counts the thread's events, from 1 */
    uint64_t time;   /* ticks (ticks.h) at its end; of the thread's event before it where is_later */
    uint64_t waited; /* ticks that an attaching call took */
    const void *state;
    const void *interp; /* NULL: not known */
    const void *caller; /* return address in the module that called */
    uint16_t call;      /* the API function, by its index in real_api_names; or JOURNAL_NO_CALL */
    uint8_t kind;       /* enum journal_kind */
    uint8_t detail;
    bool is_later; /* no clock was read: it was at `time` or later, and before the thread's next event */
};

enum journal_phase {
    JOURNAL_OUTSIDE, /* holds no GIL, as far as its calls show */
    JOURNAL_HOLDS,   /* has `state` attached since `since`, by `call` from `caller` */
    JOURNAL_WAITS, /* is in `call` from `caller` since `since`: waits for the GIL, to attach `state` (NULL: not known) */
};

struct journal_now {
    enum journal_phase phase;
    uint16_t call;
    const void *state;
    const void *caller;
    uint64_t since;
};

/* In ticks. A wait is counted as one from JOURNAL_WAIT_NS on; hold and wait times are those between API calls, so the
 * switches that CPython's own loop makes under a held state are inside a hold. */
struct journal_totals {
    uint64_t acquisitions;
    uint64_t waits, wait_total, wait_longest;
    uint64_t holds, hold_total, hold_longest;
};
enum { JOURNAL_WAIT_NS = 2000 };

struct journal_thread {
    pid_t tid;
    bool has_ended;
    char name[16];        /* the OS's, as it was at the thread's first event; "" where names are not kept */
    char python_name[32]; /* "" where it is not known */
    uintptr_t pthread;    /* pthread_self() */
    uint64_t started;     /* ticks at its first event */
    uint64_t ended;       /* ticks; 0: it lives */
    uint64_t events;      /* how many so far; the ring has the last of them ... */
    uint64_t kept;        /* ... and room for so many */
    struct journal_now now;
    struct journal_totals totals;
};

/* Whether every call is recorded. Constant after the constructor. */
extern bool journal_is_on;

/* Constructor. `events`: how many the ring of a thread has (rounded up to a power of two; at most 65536; less, where the rings of
 * all threads would take more than 64 MiB, or 256 if there are to be more than 4096 events); `is_on`: whether every call is
 * recorded; `with_names`: whether each thread's name is read at its first event, which opens a file. Makes a thread-specific key
 * and fork handlers. */
void journal_start(unsigned events, bool is_on, bool with_names);

/* If set: called on a thread that ends, while its record is still there: as owner_before_end (owner.h). */
extern void (*journal_before_end)(bool is_last);

/* If set, before a thread's first event: called on a thread whenever it has filled a quarter of its ring. Not to write events. */
extern void (*journal_filled_quarter)(void);

/* The calling thread is about to end without running any more of its code: its record says that it has ended. */
void journal_thread_vanishes(void);

/* ---- writing: for the calling thread. Async-signal-safe but for a thread's first event, which may map pages. -------- */

/* An event that changes nothing about what is attached. */
void journal_note(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* The same without reading the clock, which is most of what an event costs: for the ends of nested blocks, which nobody
 * waits for and which end no hold. */
void journal_note_later(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* The thread is about to make a call that attaches `state` and may wait for the GIL. Returns the moment, for
 * journal_attached. */
uint64_t journal_waits(uint16_t call, const void *state, const void *caller);

/* ... and has it now. `begun`: what journal_waits returned; 0: it did not wait. */
void journal_attached(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *interp,
                      const void *caller, uint64_t begun);

/* ... and had it already, as it turns out: an event, and it goes on holding. `before`: journal_now() from before
 * journal_waits, if that was called. */
void journal_found(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller,
                   const struct journal_now *before);

/* A state was made, of that interpreter. */
void journal_made(enum journal_kind kind, uint16_t call, const void *state, const void *interp, const void *caller);

/* The attached state is about to be given up. */
void journal_detaches(enum journal_kind kind, uint16_t call, uint8_t detail, const void *state, const void *caller);

/* Corrects what the thread is doing now, where a call did not do what its name says: `attached` is what it has attached
 * (NULL: none). No event. */
void journal_correct(const void *attached, const void *caller);

/* What the thread is doing now, as it was noted. */
struct journal_now journal_now(void);

/* The Python name of the calling thread, once somebody knows it. Cut at a character's border. */
void journal_name_thread(const char *python_name);

/* ---- reading: any thread, signal handlers --------------------------------------------------------------------------- */

/* How many records there are: threads are numbered from 0 to that. */
unsigned journal_count(void);

/* A consistent copy of a thread's record. False: nobody's record, or the thread wrote it all the time. */
bool journal_read_thread(unsigned index, struct journal_thread *thread);

/* How many events the calling thread has noted. Async-signal-safe. */
uint64_t journal_own_events(void);

/* The number of the calling thread's record; -1: it has none yet. Async-signal-safe. */
int journal_own_index(void);

/* The number of the record of the thread with that tid that has not ended; -1: it has none. */
int journal_find(pid_t tid);

/* Copies the last events of a thread, the oldest first, at most `capacity`. Returns how many; *torn: how many were
 * dropped because the thread overwrote them meanwhile. */
unsigned journal_read_events(unsigned index, struct journal_event *events, unsigned capacity, unsigned *torn);

/* Copies those behind the event with the number `after`, the oldest first, at most `capacity`. Returns how many; which are missing
 * tell their numbers. */
unsigned journal_read_events_after(unsigned index, uint64_t after, struct journal_event *events, unsigned capacity);

/* The latest event of any thread that attached (or made) `state`, and its thread's number; false: none is left. */
bool journal_find_attach(const void *state, struct journal_event *event, unsigned *index);

/* The same, of the events of that thread only, or of all other threads. */
bool journal_find_attach_by(pid_t tid, const void *state, struct journal_event *event, unsigned *index);
bool journal_find_attach_by_others(pid_t tid, const void *state, struct journal_event *event, unsigned *index);

/* How many threads have had a record so far, in this process. */
unsigned journal_seen(void);

/* Threads that have no record because there are too many, or no memory. */
uint64_t journal_unrecorded(void);

/* "Ensure", "attach", ...: for readers. */
const char *journal_kind_name(enum journal_kind kind);
