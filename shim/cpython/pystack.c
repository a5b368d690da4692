#include "cpython/pystack.h"

#include <string.h>

#include "cpython/interp.h"
#include "cpython/python.h"
#include "system/snapshot.h"

struct dump {
    python_dump *function;
    PyThreadState *state;
};

static void dump(int fd, void *argument) {
    const struct dump *what = argument;
    if (interp_is_alive(what->state)) {
        what->function(fd, what->state);
    }
}

const char *pystack_take(PyThreadState *state, char *buffer, size_t capacity) {
    struct dump what = {python_traceback_dump(), state};
    buffer[0] = '\0';
    if (!what.function || !state) {
        return state ? "this interpreter is stripped, or too old" : "no state";
    }
    long length = snapshot_run(dump, &what, buffer, capacity - 1);
    buffer[length > 0 ? length : 0] = '\0';
    return length < 0 ? "the process can't be copied" : length ? NULL : "it could not be read";
}
