/* The exported abort: a fatal error of CPython is told, with who led to it, before the process dies of it. */
#pragma once

/* Constructor: looks for the real one, since a lock may be held when it is needed. */
void fatal_start(void);
