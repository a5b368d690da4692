/* The block of thread-locals (PT_TLS) that a loaded object has on the calling thread. Knows nothing of Python. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct tls_block {
    uintptr_t *start; /* NULL: the object has none, or not yet on this thread */
    size_t words;
};

/* The block of the object that holds `address`. Takes the loader's write lock, so it is neither for signal handlers nor
 * for use inside dl_iterate_phdr. In every thread at the same distance from the thread pointer if the object was there
 * when the program started; on its own otherwise, and then perhaps not there yet. */
struct tls_block tls_block_of(const void *address);

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
