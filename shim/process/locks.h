/* Which locks there are, who takes them, and in which order. The first is taken first; each may be taken with those above
 * it held, none with one below it.
 *
 *   the GIL and CPython's own locks   by the real functions, with no lock of ours held
 *   dl_load_lock (ld.so, recursive)   by dlsym and dlopen: in the constructor (dlsym_hook.c, fatal_signals.c, fatal.c, loader.c), when
 *                                     libgcc_s is fetched (unwinding.c, stacks_prepare), in dlsym for whoever calls it, and
 *                                     for real_behind, where no CPython is. Held by a thread whose dlopen runs constructors,
 *                                     which may wait for the GIL: never asked for with the GIL, on the way into a rule, a
 *                                     report or the process's end. glibc resets it in a fork child.
 *   binding_lock (real.c)             while the shim looks for a CPython and binds to it
 *   owner_pool.c's, registry.c's, dead_states.c's   leaves, for a few instructions; owner_pool_put_others takes the registry's
 *                                     with none held
 *   the gate (loader.c)               no lock, a count: who is in dl_iterate_phdr for us. A fork waits until nobody is, and
 *                                     whoever wants in waits for the fork
 *   dl_load_write_lock (ld.so, recursive)   by dl_iterate_phdr alone, inside the gate: for binding, for the TLS block of
 *                                     CPython, for libgcc_s; before glibc 2.35 also to find the object of an address that
 *                                     stays. Not in a fork child, where glibc does not reset it (loader.h).
 *   malloc's                          by background_start (pthread_create), dlopen, and the thread-specific keys from the
 *                                     33rd on: never under a lock of ours, in a handler or in a fork child's handlers
 *   stdio's                           none: log.c and text.c write by write(2). exit's fflush is process_exit.c's
 *   libgcc's list of frames           by its unwinder, before glibc 2.35 with the write lock: for reports; not in a fork
 *                                     child (frames.c)
 *
 * In these places none at all is taken, so that nobody waits for a thread that is not there, or for himself:
 *   - the handlers of fork in the child, and whatever a fork child calls afterwards that would take none without the shim
 *   - signal handlers: what they may call of CPython is answered without (PyGILState_Check and the like, from the first
 *     binding on), and so is _exit's summary
 *   - where a name is looked up in memory that may go away (symbol.c): it is found by loader_locate and read by the kernel
 *
 * Locks of ours are held over a fork by the thread that forks (fork.c), and any of them that it wants meanwhile, in another
 * library's fork handler, it has already. Lock-free and so without a part in this: journal, sites, modules, leaving, foresee.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* Takes and gives a lock of the shim's. Does nothing on a thread that holds them all because it forks. Not for signal
 * handlers. */
void locks_take(pthread_mutex_t *lock);
void locks_give(pthread_mutex_t *lock);

/* For fork.c alone: the calling thread has taken all of them, or is about to give them. */
void locks_all_held(bool are_held);
