/* check=locks: threads that wait, with the GIL held, for something that another thread has to do first: a join, a
 * condition, a semaphore. They are noted while they wait, so that a thread that needs the GIL can see them.
 *
 * It looks when it is about to wait for the GIL. If it is the thread that is being joined, neither can get on. In other
 * cases nobody can tell who would end the wait. So the thread gives the other one a tenth of a second to get on by
 * itself, before it waits for the GIL and is told of. A thread that waited for the GIL already is found when the wait
 * with the GIL held ends; if it never does, that is for the stall watch.
 *
 * A wait may be left without its end: by a cancellation, an exception, a longjmp. The thread that looks asks the kernel
 * whether the other one sleeps there. If not, or if the thread has ended, the wait is over. It is also over when its own
 * thread begins another wait, or is about to wait for the GIL. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum lock_function {
#define LOCK(type, name, parameters) LOCK_INDEX_##name,
#include "locks.def"
#undef LOCK
    LOCK_FUNCTIONS
};

/* The names, in the order of locks.def. */
extern const char *const lock_names[LOCK_FUNCTIONS];

struct gil_wait {
    uint64_t begun;  /* ticks; 0: the wait is not noted at all */
    uint64_t ticket; /* which wait it is, of all that others can see; 0: they can't */
};

/* Notes that the calling thread, which has the GIL, is about to wait in `function`, called from `site`. `thread`: the
 * thread that it joins, or 0. `frame`: the address of the frame that waits. A wait in a signal handler hides the one that
 * it interrupts. Lock-free and async-signal-safe unless it reports. */
struct gil_wait gil_waits_begin(enum lock_function function, uintptr_t thread, const void *frame, const void *site);

/* Ends it, if nothing else has; or, without a ticket, ends a call of which nothing but the time was taken. Reports a wait
 * during which a thread waited for the GIL, and one of more than hold=. Preserves errno. */
void gil_waits_end(const struct gil_wait *wait, enum lock_function function, const void *site);

/* Called on a thread that is about to wait for the GIL in this call of the API, after the journal has been told so. */
void gil_waits_look(uint16_t call, const void *caller);

/* In a fork child: no other thread waits. */
void gil_waits_forked(void);
