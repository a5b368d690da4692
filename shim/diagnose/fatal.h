/* The exported abort: reports a fatal error of CPython, and which module led to it, before the process ends. */
#pragma once

/* For the constructor: finds the real abort, because a lock may be held when it is needed. */
void fatal_start(void);
