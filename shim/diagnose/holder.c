#include "diagnose/holder.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/current.h"
#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/own_layout.h"
#include "cpython/real.h"
#include "journal/journal.h"
#include "system/snapshot.h"
#include "system/thread.h"

enum { TCB_WORDS = 512, STATE_WORDS = 24 /* a state's pthread_self() is at 144 to 176 bytes */, FOUND_MAX = 512 };

/* Returns the offset of the tid in glibc's thread descriptor, found in the descriptor of this thread, or 0 if it is not
 * found. */
static size_t find_tid_offset(void) {
    int words[TCB_WORDS];
    int me = (int)syscall(SYS_gettid);
    size_t found = 0;
    if (!thread_read_memory((const void *)pthread_self(), words, sizeof words)) {
        return 0;
    }
    for (size_t i = 0; i < TCB_WORDS; i++) {
        if (words[i] == me) {
            if (found) {
                return 0; /* found in two places: either may be the tid */
            }
            found = i * sizeof words[0];
        }
    }
    return found;
}

pid_t holder_tid_of(uintptr_t pthread) {
    static size_t offset;
    static bool was_sought;
    if (!was_sought) {
        offset = find_tid_offset();
        was_sought = true;
    }
    int tid = 0;
    if (!offset || !thread_read_memory((const char *)pthread + offset, &tid, sizeof tid) || !thread_exists(tid)) {
        return 0;
    }
    return tid;
}

/* ---- the thread that made a state: every version keeps its pthread_self() there ---------------------------------- */

/* On x86-64 a thread descriptor begins with its own address (the psABI's thread control block). Elsewhere nothing marks one. */
static bool begins_as_descriptor(uintptr_t pthread) {
#if defined(__x86_64__)
    uintptr_t self;
    return thread_read_memory((const void *)pthread, &self, sizeof self) && self == pthread;
#else
    return pthread != 0;
#endif
}

static uintptr_t creator_by_layout(const PyThreadState *state) {
    struct layout layout;
    uintptr_t pthread = 0;
    bool is_read = own_layout_find(&layout) && layout.state_thread >= 0 &&
                   thread_read_memory((const char *)state + layout.state_thread, &pthread, sizeof pthread);
    return is_read && pthread % 16 == 0 && begins_as_descriptor(pthread) ? pthread : 0;
}

/* In a version of which nothing else is known it is the word that points to a thread descriptor. */
static uintptr_t creator_by_descriptor(const PyThreadState *state) {
#if defined(__x86_64__)
    uintptr_t words[STATE_WORDS];
    if (!thread_read_memory(state, words, sizeof words)) {
        return 0;
    }
    for (size_t i = 0; i < STATE_WORDS; i++) {
        if (words[i] % 16 == 0 && begins_as_descriptor(words[i])) {
            return words[i];
        }
    }
#else
    (void)state;
#endif
    return 0;
}

static uintptr_t creator_of(const PyThreadState *state) {
    uintptr_t pthread = creator_by_layout(state);
    return pthread ? pthread : creator_by_descriptor(state);
}

bool holder_made(uintptr_t pthread, const PyThreadState *state) {
    return creator_of(state) == pthread;
}

/* ---- the holder ------------------------------------------------------------------------------------------------- */

/* Returns the thread whose record says that it has this state attached (NULL: that it holds the GIL without a state).
 * If there are several, returns the last one to attach it, because a hand-over is not noted by the thread that hands
 * over. */
static pid_t attacher_of(const PyThreadState *state) {
    struct journal_thread thread;
    uint64_t since = 0;
    pid_t tid = 0;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (journal_read_thread(i, &thread) && !thread.has_ended && journal_has_attached(&thread.now, state) &&
            (!tid || thread.now.since > since) && thread_exists(thread.tid)) {
            since = thread.now.since;
            tid = thread.tid;
        }
    }
    return tid;
}

static void find_by_global(struct holder *holder) {
    PyThreadState *state = interp_current();
    holder->state = state;
    holder->tid = attacher_of(state);
    if (!state && !holder->tid) {
        holder->kind = HOLDER_NONE;
        return;
    }
    if (!holder->tid) {
        holder->tid = holder_tid_of(creator_of(state));
    }
    holder->kind = holder->tid ? HOLDER_THREAD : HOLDER_UNKNOWN;
}

/* 3.12's PyThreadState_Swap sets the thread's state before it waits for the GIL. */
static bool is_swapping(const struct journal_thread *thread) {
    return thread->now.phase == JOURNAL_WAITS && thread->now.call == REAL_INDEX_PyThreadState_Swap;
}

/* Returns what the thread has attached, read from its thread-local. NULL: nothing, or it cannot be read. */
static PyThreadState *attached_by(uintptr_t pthread) {
    PyThreadState *state = NULL;
    const void *place = current_place_of(pthread);
    return place && thread_read_memory(place, &state, sizeof(PyThreadState *)) ? state : NULL;
}

/* Searches the threads whose thread-local can be read. Returns true if the holder is among them. */
static bool find_by_place(pid_t waiter, struct holder *holder) {
    struct journal_thread thread;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (!journal_read_thread(i, &thread) || thread.has_ended || !thread_exists(thread.tid) ||
            is_swapping(&thread)) {
            continue;
        }
        PyThreadState *state = attached_by(thread.pthread);
        bool is_better = holder->kind != HOLDER_THREAD || holder->tid == waiter;
        if (state && is_better) {
            *holder = (struct holder){HOLDER_THREAD, thread.tid, state};
        }
    }
    return holder->kind == HOLDER_THREAD && holder->tid != waiter;
}

/* Runs in a copy of the process. Of the threads that made a state, writes those that have one attached. The holder's
 * state may be behind thousands of states of waiting threads. */
static void write_attachers(int fd, void *unused) {
    (void)unused;
    for (PyInterpreterState *interp = real.PyInterpreterState_Head(); interp;
         interp = real.PyInterpreterState_Next ? real.PyInterpreterState_Next(interp) : NULL) {
        for (PyThreadState *at = real.PyInterpreterState_ThreadHead(interp); at; at = real.PyThreadState_Next(at)) {
            uintptr_t creator = creator_of(at);
            if (creator && attached_by(creator) && write(fd, &creator, sizeof creator) != sizeof creator) {
                return;
            }
        }
    }
}

/* Finds Python threads that the shim has not seen, by the states that they made. */
static void find_by_states(pid_t waiter, struct holder *holder) {
    static uintptr_t found[FOUND_MAX];
    if (!current_place_of((uintptr_t)pthread_self())) {
        return;
    }
    long length = snapshot_run(write_attachers, NULL, (char *)found, sizeof found);
    for (long i = 0; i < length / (long)sizeof found[0]; i++) {
        PyThreadState *state = attached_by(found[i]);
        pid_t tid = holder_tid_of(found[i]);
        if (tid && tid != waiter && state) {
            *holder = (struct holder){HOLDER_THREAD, tid, state};
            return;
        }
    }
}

/* Returns the thread that has the state attached now, of those whose thread-local can be read. */
static pid_t thread_with(const PyThreadState *state) {
    struct journal_thread thread;
    for (unsigned i = 0; i < journal_count(); i++) {
        if (journal_read_thread(i, &thread) && !thread.has_ended && !is_swapping(&thread) &&
            attached_by(thread.pthread) == state && thread_exists(thread.tid)) {
            return thread.tid;
        }
    }
    return 0;
}

/* The last resort is the thread that made the state, which has it most likely. */
pid_t holder_thread_of(const PyThreadState *state) {
    current_learn_aside();
    pid_t tid = attacher_of(state);
    tid = tid ? tid : thread_with(state);
    return tid ? tid : holder_tid_of(creator_of(state));
}

/* Of several GILs, or without any. Returns false if it can't be told with which state that GIL is held. */
static bool find_by_gil(int64_t gil, struct holder *holder) {
    PyThreadState *state;
    if (!gil_read_holder(gil, &state)) {
        return false;
    }
    holder->state = state;
    holder->kind = state ? HOLDER_UNKNOWN : HOLDER_NONE;
    if (state) {
        holder->tid = holder_thread_of(state);
        holder->kind = holder->tid ? HOLDER_THREAD : HOLDER_UNKNOWN;
    }
    return true;
}

void holder_find(pid_t waiter, bool may_copy, int64_t gil, struct holder *holder) {
    memset(holder, 0, sizeof *holder);
    if (find_by_gil(gil, holder)) {
        return;
    }
    if (!interp_slot_follows) {
        find_by_global(holder);
        return;
    }
    holder->kind = HOLDER_UNSEEN;
    current_learn_aside();
    if (!find_by_place(waiter, holder) && may_copy) {
        find_by_states(waiter, holder);
    }
}
