/* What would happen if the calling thread's stack were unwound by force, as pthread_exit does. Knows nothing of Python. */
#pragma once

#include <stdbool.h>

/* Whether a frame of the calling thread has code that would run then: a destructor, catch (...), or noexcept. The first
 * may need what the thread does not have, the last two end the process. Frames in C have none, nor has C++ without
 * objects; the C++ library's own start of a std::thread is left out. Also true if it can't be told.
 * `inside`: stop there is one frame to be named, the first whose return address `inside` denies; into *outside.
 * Loads libgcc_s if nobody has yet, as pthread_exit itself would. */
bool unwind_meets_code(bool (*is_inside)(const void *address), const void **outside);
