/* What glibc's thread descriptor (struct pthread, whose address is pthread_self()) says about a thread of the target. Its layout is
 * glibc's own and not told to anybody, so it is learnt. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct thread_descriptor {
    size_t tid; /* offset of the field with the thread id; 0: not known */
    unsigned votes;
};

/* Learns where the thread id is, from the descriptors of `count` threads, which need not be different or alive. */
void thread_descriptor_learn(struct thread_descriptor *layout, const uintptr_t *pthreads, size_t count);

/* Returns the thread of the target whose descriptor it is, or 0. */
pid_t thread_descriptor_tid(const struct thread_descriptor *layout, uintptr_t pthread);

/* Reads what the thread has under a key (pthread_getspecific). Returns false if it can't be told. */
bool thread_descriptor_specific(uintptr_t pthread, unsigned key, uintptr_t *value);
