/* What the tests have instead of shim/inspect/threads.h. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

uintptr_t threads_descriptor(pid_t tid);
