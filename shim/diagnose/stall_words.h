/* What the lines about a stall are made of. For the watch thread. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "diagnose/wait_graph.h"
#include "system/text.h"

/* Adds "1.2 s". */
void stall_add_seconds(struct text *text, uint64_t nanoseconds);

/* Adds `thread 12 "name"`: Python's name if it has one (not ""), else the OS thread's. */
void stall_add_thread(struct text *text, pid_t tid, const char *python_name, const char *name);
void stall_add_waiter(struct text *text, const struct waiter *waiter);

/* Adds "the GIL", and " of interpreter 2" if there are several. */
void stall_add_gil(struct text *text, int64_t gil);

/* Adds what the thread waits for: stall_add_gil, or without a GIL "a pause of all threads" (until it begins) or "a pause of all
 * threads to end". */
void stall_add_awaited(struct text *text, const struct waiter *waiter);

/* Returns the name of the API function with this index. */
const char *stall_call_name(uint16_t call);

/* Adds the library that the address is in; "CPython" for NULL. */
void stall_add_library(struct text *text, const void *place);

/* Adds "(PyGILState_Ensure, called by libfoo.so!bar+0x12)". `place`: what called it; NULL: not known. */
void stall_add_call(struct text *text, const struct waiter *waiter, const void *place);

/* Adds "between liba.so and libb.so" or "in liba.so"; if they met in a third library, also ", inside libc.so". */
void stall_add_libraries(struct text *text, const void *one, const void *other, const void *inside);
