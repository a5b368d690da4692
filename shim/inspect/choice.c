#include "inspect/choice.h"

#include <string.h>

#include "cpython/real.h"
#include "inspect/target.h"

static const struct watched_python *chosen;
static size_t chosen_gil;

const struct watched_python *choice_python(void) {
    return chosen;
}

const struct watched_gil *choice_gil(void) {
    return &chosen->gils[chosen_gil];
}

void choice_make(const struct watched_python *python, size_t gil) {
    uintptr_t address = 0;
    chosen = python;
    chosen_gil = gil;
    memset(&real, 0, sizeof real);
    target_symbol(python->cpython.object, "Py_IsInitialized", &address, NULL);
    memcpy(&real.Py_IsInitialized, &address, sizeof address);
    if (python->cpython.runtime) {
        memcpy(&real._PyRuntime, &python->cpython.runtime, sizeof address);
    }
}
