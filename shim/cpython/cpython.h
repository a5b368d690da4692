/* CPython's types as far as the shim needs them: opaque, so that one binary serves every version. No Python.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct PyThreadState PyThreadState;
typedef struct PyInterpreterState PyInterpreterState;
typedef struct Py_tss_t Py_tss_t;

/* Returned by value, so its class in the ABI matters (memory). It is the same in 3.8 to 3.15 (cpython/initconfig.h). */
typedef struct {
    int type;
    const char *func;
    const char *err_msg;
    int exitcode;
} PyStatus;

enum { GILSTATE_LOCKED = 0, GILSTATE_UNLOCKED = 1 };
