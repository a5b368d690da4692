/* What would happen if the calling thread's stack were unwound by force, as pthread_exit does it. Knows nothing of
 * Python. */
#pragma once

#include <stdbool.h>

/* Returns true if a frame of the calling thread has code that would run then: a destructor, catch (...), or noexcept. A
 * destructor may need what the thread does not have; the other two end the process. Frames in C have no such code, nor
 * do C++ frames without objects. The C++ library's own start of a std::thread is not counted. Also returns true if it
 * can't be told.
 *
 * Stores the first address in the stack for which `is_inside` returns false in *outside, to be named in a report, or
 * NULL if there is none. Leaves *outside alone if libgcc_s can't be had. Loads libgcc_s if nobody has yet, as
 * pthread_exit itself would. */
bool unwind_meets_code(bool (*is_inside)(const void *address), const void **outside);
