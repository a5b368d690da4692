/* A live process as the stand-in's target (standin/inspect/target.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Lists the objects of the process, and reads their files. Returns false, with errno set, if it can't be read. */
bool process_open(pid_t pid);

/* Returns the first argument of the futex call that the thread sleeps in, or 0. */
uintptr_t process_futex_of(pid_t tid);
