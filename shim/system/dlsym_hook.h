/* The exported dlsym (dlsym_hook.S): for names that begin with "Py" it asks start_before_dlsym first, then jumps to the real
 * one, which goes by the return address of its caller (RTLD_NEXT, RTLD_DEFAULT). */
#pragma once

#include <pthread.h>

/* The real dlsym, for calls of our own: the exported one would come back to us. Takes the loader's lock. */
void *libc_real_dlsym(void *handle, const char *name);

/* Defined by start.c: called with each name that begins with "Py"; answers the name to look up. */
const char *start_before_dlsym(void *handle, const char *name);

/* The real pthread_create: ours is exported under its name. Async-signal-unsafe like it. */
int libc_real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                             void *argument);

/* The one that a call by name comes to: ours, or one of a library that stands before it. ThreadSanitizer's runtime does, and
 * what runs on a thread that it has not seen made crashes in it. */
int libc_first_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                              void *argument);

/* The real pthread_exit: ours is exported under its name. */
_Noreturn void libc_real_pthread_exit(void *value);
