#include "cpython/pystack.h"

#include <string.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "system/elf.h"
#include "system/snapshot.h"
#include "system/symbol.h"

typedef void dump_function(int fd, PyThreadState *state);

/* Returns the function of CPython that dumps a traceback, or NULL. 3.6 to 3.8, 3.11 and 3.12 export it. In 3.9, 3.10,
 * 3.13 and 3.14 it is hidden: the .symtab of the file has it, unless the file is stripped. From 3.15 on it is public,
 * and returns what went wrong, which nobody needs here. 2.7 has no such function. */
static dump_function *find_dump(void) {
    static dump_function *found;
    static unsigned sought_in; /* generation of the binding */
    if (sought_in == real_status.generation) {
        return found;
    }
    sought_in = real_status.generation;
    found =
        real.PyUnstable_DumpTraceback ? (dump_function *)(void *)real.PyUnstable_DumpTraceback : real._Py_DumpTraceback;
    struct elf_object object;
    if (!found && elf_find_by_address((const void *)real.Py_IsInitialized, &object)) {
        void *address = symbol_find_hidden(&object, "_Py_DumpTraceback");
        memcpy(&found, &address, sizeof address);
    }
    return found;
}

struct dump {
    dump_function *function;
    PyThreadState *state;
};

static void dump(int fd, void *argument) {
    const struct dump *what = argument;
    if (interp_is_alive(what->state)) {
        what->function(fd, what->state);
    }
}

const char *pystack_take(PyThreadState *state, char *buffer, size_t capacity) {
    struct dump what = {find_dump(), state};
    buffer[0] = '\0';
    if (!what.function || !state) {
        return state ? "this interpreter is stripped, or too old" : "no state";
    }
    long length = snapshot_run(dump, &what, buffer, capacity - 1);
    buffer[length > 0 ? length : 0] = '\0';
    return length < 0 ? "the process can't be copied" : length ? NULL : "it could not be read";
}
