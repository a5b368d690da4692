/* The block of thread-locals (PT_TLS) that a loaded object has on the calling thread. Knows nothing of Python.
 *
 * Where the block is on one thread says nothing about another thread, unless it is in the static block that every
 * thread gets at its start. An object that was there when the program started has its thread-locals in the static
 * block. There is one exception: an auditor (LD_AUDIT) makes ld.so count the thread-locals before it has loaded
 * anything, and then only the executable's are in it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_block {
    uintptr_t *start; /* NULL: the object has none, or not yet on this thread */
    size_t words;
    size_t module; /* ld.so's number of the object, for tls_address; 0: it has no thread-locals */
};

/* Returns the block of the object that holds `address`. Takes the loader's write lock, so it must not be called in a
 * signal handler or inside dl_iterate_phdr. */
struct tls_block tls_block_of(const void *address);

/* Like tls_block_of, for an object that has used its thread-locals on this thread: then it has a block here. ld.so does
 * not tell of one that it has put into the rest of the static block, as it does for an object that was opened later
 * than this thread was started and whose thread-locals are of the models initial-exec or TLSDESC. (TLSDESC is what
 * compilers use for AArch64.) May take another of the loader's locks, once for each thread. */
struct tls_block tls_block_in_use(const void *address);

/* Returns the address at `offset` in that module's block on the calling thread. It is looked up as compiled code does
 * it: without a lock, unless a module was loaded since this thread asked last. Allocates the block if the thread has
 * none yet, so call it after the owner of the thread-locals has used them on this thread. The module must not be
 * unloaded. */
void *tls_address(size_t module, size_t offset);

/* Returns true if `place`, a thread-local of the calling thread, is in the static block, so that it is at the same
 * distance from the thread pointer on every thread. Returns false if it is not, or if that can't be told.
 * `has_own_stack` says that the caller runs on the stack that pthread_create made for this thread.
 * Async-signal-safe. */
bool tls_is_static(const void *place, bool has_own_stack);

/* Returns the calling thread's thread pointer. On x86-64, gcc has __builtin_thread_pointer only from version 11 on
 * (Debian 11 has 10), but the ABI keeps the pointer itself in the first word that it points to. Async-signal-safe. */
static inline void *tls_thread_pointer(void) {
#if defined __x86_64__
    void *pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
#else
    return __builtin_thread_pointer();
#endif
}
