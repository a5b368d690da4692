/* The locks that there are, who takes them, and in which order. A thread may take a lock while it holds locks that
 * stand above it here, but not while it holds one that stands below it.
 *
 *   the GIL and CPython's own locks  by the real functions, with no lock of ours held
 *   dl_load_lock (ld.so, recursive)  by dlsym and dlopen: in the constructor (dlsym_hook.c, fatal_signals.c, fatal.c,
 *                                    loader.c), when libgcc_s is fetched (unwinding.c, stacks_prepare), in dlsym for
 *                                    whoever calls it, also while the shim binds then (loader_hold), and in real_behind, where
 *                                    there is no CPython. A thread holds
 *                                    it while its dlopen runs constructors, and these may wait for the GIL. So it is
 *                                    never asked for with the GIL held, on the way into a rule or a report, or at the
 *                                    process's end. glibc resets it in a fork child.
 *   binding_lock (real.c)            while the shim looks for a CPython and binds to it; in the constructor dlsym is called
 *                                    under it (chain_other_preloads), where there is one thread
 *   the locks of owner_pool.c, registry.c and dead_states.c
 *                                    leaves, held for a few instructions; owner_pool_put_others takes the registry's
 *                                    with none held
 *   the gate (loader.c)              not a lock but a count of our calls of dl_iterate_phdr. A fork waits until no
 *                                    other thread is in one, and a thread that wants to enter one waits for the fork.
 *   dl_load_write_lock (ld.so, recursive)
 *                                    by dl_iterate_phdr alone, inside the gate: for binding, for the TLS block of
 *                                    CPython, for libgcc_s, and for the stall watch; before glibc 2.35 also to find
 *                                    the object of an address that stays. Not in a fork child, where glibc does not
 *                                    reset it (loader.h).
 *   malloc's                         by background_start (pthread_create), by dlopen, and by the thread-specific keys
 *                                    from the 33rd on: never with a lock of ours held, in a signal handler, or in a
 *                                    fork child's handlers. Also by dlsym, for the message that a handle does not bring a
 *                                    CPython (start_before_dlsym): when a handle is first asked for anything
 *   stdio's                          never: log.c writes with write(2). It is exit's fflush that takes it
 *                                    (process_exit.c).
 *   libgcc's list of frames          by its unwinder, before glibc 2.35 together with the write lock: for reports; not
 *                                    in a fork child (frames.c)
 *
 * In these places no lock is taken that another thread may have held, so that no thread waits for one that is not there, or for
 * itself:
 *   - the handlers of fork in the child (our own locks are given back by the first of them, fork.c), and whatever a fork child
 *     calls later that would take no lock without the shim. Of CPython's: 2.7's keymutex is under every look at the slot or a key
 *     (slot.h) and usable only after PyOS_AfterFork; from 3.7 on the lock on its list of states is held from PyOS_BeforeFork to
 *     PyOS_AfterFork_*, so that no state may be made there (owner.h, is_forking).
 *   - signal handlers: what they may call of CPython takes no lock (PyGILState_Check and the like, from the first
 *     binding on), and neither does _exit's summary. A fork in a handler takes the
 *     locks that the interrupted thread has a second time (locks_take)
 *   - where a name is looked up in memory that may go away (symbol.c): loader_locate finds it, and the kernel reads it
 *
 * The thread that forks holds the shim's locks over the fork (fork.c). If it wants one of them in another library's
 * fork handler, it has it already. These are lock-free and so have no part in this: journal.c, call_sites.c, modules.c,
 * leftover_states.c, observe.c, and for check=locks lock_table.c, lock_order.c, gil_waits.c and lock_binding.c. The program's
 * own locks that a thread holds while check=locks reports something are those that it held before. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Not a pthread_mutex_t: glibc's notes the owner by some instructions later than it takes the lock. A signal that came between
 * these left the handler waiting for its own thread. */
struct lock {
    uintptr_t owner; /* the address of a thread-local of whose lock it is; 0: nobody's. The lowest bit: others wait. */
    unsigned again;  /* how often its owner has taken it again. Only the owner reads and writes this. */
};
#define LOCK_INITIALIZER \
    { 0, 0 }

/* Take and release one of the shim's locks. They do nothing on a thread that holds all of them because it forks. A lock that a
 * thread has when it forks is still its own in the child.
 *
 * locks_take returns false if this thread has the lock: a signal handler has interrupted it there, and calls the shim or
 * forks. What the lock guards is then in the middle of a change; the handler has to call locks_give all the same. */
bool locks_take(struct lock *lock);
void locks_give(struct lock *lock);

/* For fork.c alone: says that the calling thread has taken all of the locks, or is about to release them. */
void locks_all_held(bool are_held);
