/* The exported dlsym (dlsym_hook.S). For names that begin with "Py", and while dlsym_hook_is_wide for all names in a
 * handle, it calls start_before_dlsym first. It then jumps to the real dlsym, which goes by the return address of its
 * caller (RTLD_NEXT, RTLD_DEFAULT). */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/* Whether start_before_dlsym is called for every name that is looked up in a handle. Set by start.c. */
extern bool dlsym_hook_is_wide __attribute__((visibility("hidden")));

/* Calls the real dlsym. Our own calls must use it, because the exported dlsym is ours. Takes the loader's lock. */
void *libc_real_dlsym(void *handle, const char *name);

/* Defined in start.c. Called with each name that begins with "Py", and with others as dlsym_hook_is_wide says. Returns the
 * name to look up. */
const char *start_before_dlsym(void *handle, const char *name);

/* Calls the real pthread_create; ours is exported under its name. Not async-signal-safe, like pthread_create. */
int libc_real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                             void *argument);

/* Calls the pthread_create that ThreadSanitizer's runtime has in front of ours, if it is there: it crashes in code on a
 * thread that it has not seen created. Otherwise calls the real one: AddressSanitizer's (from gcc 14 on) holds a lock of
 * its own while it calls ours, and would wait for it; it gets on with threads that it has not seen created. */
int libc_first_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                              void *argument);

/* Calls the real pthread_exit; ours is exported under its name. */
_Noreturn void libc_real_pthread_exit(void *value);
