/* The functions that check=locks puts in the place of libc's lock functions (locks.def). They are not exported: nothing
 * comes this way before lock_binding.c redirects it. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <threads.h>
#include <time.h>

/* The real functions. A field is NULL if no loaded library has the function. */
struct lock_real {
#define LOCK(type, name, parameters) type(*name) parameters;
#include "locks.def"
#undef LOCK
    size_t (*malloc_usable_size)(void *memory); /* of the same library as `free` */
};
extern struct lock_real lock_real __attribute__((visibility("hidden")));

/* The wrappers, in the order of locks.def. */
extern const void *const lock_wrappers[];
