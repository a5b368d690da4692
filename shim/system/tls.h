/* The block of thread-locals (PT_TLS) that a loaded object has on the calling thread. Knows nothing of Python.
 *
 * Where it is on one thread tells nothing of another, unless it is in the static block that every thread gets at its start.
 * An object that was there when the program started has its thread-locals in it, but not where an auditor (LD_AUDIT) has made
 * ld.so count before it had loaded anything: then only the executable's are. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_block {
    uintptr_t *start; /* NULL: the object has none, or not yet on this thread */
    size_t words;
    size_t module; /* ld.so's number of the object, for tls_address; 0: it has no thread-locals */
};

/* The block of the object that holds `address`. Takes the loader's write lock, so it is neither for signal handlers nor
 * for use inside dl_iterate_phdr. */
struct tls_block tls_block_of(const void *address);

/* The place at `offset` in that module's block on the calling thread, as compilers have it looked up: without a lock, unless a
 * module was loaded since this thread asked last. Allocates the block if the thread has none yet, so ask after the owner of
 * the thread-locals has used them on this thread. The module must not be unloaded. */
void *tls_address(size_t module, size_t offset);

/* Whether a thread-local of the calling thread is in its static block, so that it is at the same distance from the thread
 * pointer on every thread. False: it is not, or that can't be told. `has_own_stack`: the caller runs on the stack that
 * pthread_create made for this thread. Async-signal-safe. */
bool tls_is_static(const void *place, bool has_own_stack);

/* The calling thread's thread pointer. gcc has __builtin_thread_pointer on x86-64 from 11 on only (Debian 11 has 10); the
 * ABI keeps the pointer itself in its first word there. Async-signal-safe. */
static inline void *tls_thread_pointer(void) {
#if defined __x86_64__
    void *pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
#else
    return __builtin_thread_pointer();
#endif
}
