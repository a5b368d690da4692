/* Pointers of a thread to thread states that CPython has deleted. Their memory has been given back, so that this can only
 * be told as long as nothing else has come there. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "inspect/interpreter.h"
#include "system/cfi.h"

enum dead_state_place {
    DEAD_IN_REGISTER, /* of the function that has crashed, or of one of its callers */
    DEAD_IN_KEY,      /* a pthread key: libraries keep a state per thread there (pybind11, CPython's gilstate slot) */
    DEAD_IN_THREAD_LOCAL, /* a thread-local variable */
};

struct dead_state {
    uintptr_t address;
    enum dead_state_place place;
    unsigned key; /* DEAD_IN_KEY */
};

/* Finds those of the thread `tid`, each address once. `registers`: where the thread stands. `pointer`: its thread pointer;
 * 0: not known. Writes at most `capacity`. Returns how many there are. */
size_t dead_states_find(const struct interpreter_picture *picture, pid_t tid, const struct cfi_frame *registers,
                        uintptr_t pointer, struct dead_state *found, size_t capacity);
