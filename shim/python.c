#include "python.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "elf.h"
#include "real.h"
#include "symbol.h"

typedef struct PyObject PyObject;

/* ---- the thread's name ------------------------------------------------------------------------------------------ */

/* What is needed of CPython for it, looked up when it is needed. `text` is str's UTF-8, or 2.7's bytes. */
struct calls {
    PyObject *(*modules)(void);
    PyObject *(*module_dict)(PyObject *);
    int (*next)(PyObject *, ssize_t *, PyObject **, PyObject **);
    const char *(*text)(PyObject *);
    unsigned long (*number)(PyObject *);
    PyObject *(*type)(PyObject *);
    void (*decref)(PyObject *);
    PyObject **(*dict_of)(PyObject *);
    PyObject *(*attribute)(PyObject *, const char *);
    PyObject *(*occurred)(void);
    void *text_type, *long_type, *int_type, *module_type, *dict_type;
};

static void *find(const struct elf_object *cpython, const char *name) {
    const ElfW(Sym) *symbol = elf_find_export(cpython, name);
    return symbol ? elf_symbol_address(cpython, symbol) : NULL;
}

static bool find_calls(struct calls *calls) {
    struct elf_object cpython;
    if (!real.PyThreadState_Next || !elf_find_by_address((const void *)real.PyThreadState_Next, &cpython)) {
        return false;
    }
    const bool is_python27 = find(&cpython, "PyString_Type") != NULL;
    const struct {
        void *place;
        const char *name;
    } wanted[] = {
        {&calls->modules, "PyImport_GetModuleDict"},
        {&calls->module_dict, "PyModule_GetDict"},
        {&calls->next, "PyDict_Next"},
        {&calls->text, is_python27 ? "PyString_AsString" : "PyUnicode_AsUTF8"},
        {&calls->number, "PyLong_AsUnsignedLong"},
        {&calls->type, "PyObject_Type"},
        {&calls->decref, "Py_DecRef"},
        {&calls->dict_of, "_PyObject_GetDictPtr"},
        {&calls->occurred, "PyErr_Occurred"},
        {&calls->text_type, is_python27 ? "PyString_Type" : "PyUnicode_Type"},
        {&calls->module_type, "PyModule_Type"},
        {&calls->dict_type, "PyDict_Type"},
        {&calls->long_type, is_python27 ? "PyInt_Type" : "PyLong_Type"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *address = find(&cpython, wanted[i].name);
        if (!address) {
            return false;
        }
        memcpy(wanted[i].place, &address, sizeof address);
    }
    if (is_python27) {
        void *address = find(&cpython, "PyInt_AsUnsignedLongMask");
        memcpy(&calls->number, &address, sizeof address);
    }
    return calls->number != NULL;
}

static bool is_a(const struct calls *calls, PyObject *object, const void *type) {
    PyObject *its = calls->type(object);
    calls->decref(its);
    return its == type;
}

/* The value under a name in a dictionary; looked for by going through it, so that no key need be made. */
static PyObject *value_of(const struct calls *calls, PyObject *dictionary, const char *name) {
    PyObject *key, *value;
    ssize_t position = 0;
    while (calls->next(dictionary, &position, &key, &value)) {
        const char *text = is_a(calls, key, calls->text_type) ? calls->text(key) : NULL;
        if (text && strcmp(text, name) == 0) {
            return value;
        }
    }
    return NULL;
}

bool python_thread_name(char *name, size_t capacity) {
    struct calls calls;
    if (!find_calls(&calls) || calls.occurred()) {
        return false;
    }
    PyObject *modules = calls.modules();
    PyObject *threading =
        modules && is_a(&calls, modules, calls.dict_type) ? value_of(&calls, modules, "threading") : NULL;
    if (!threading || !is_a(&calls, threading, calls.module_type)) {
        return false;
    }
    PyObject *active = value_of(&calls, calls.module_dict(threading), "_active");
    if (!active || !is_a(&calls, active, calls.dict_type)) {
        return false;
    }
    PyObject *key, *thread;
    ssize_t position = 0;
    while (calls.next(active, &position, &key, &thread)) {
        if (!is_a(&calls, key, calls.long_type) || calls.number(key) != (unsigned long)pthread_self()) {
            continue;
        }
        PyObject **dictionary = calls.dict_of(thread);
        PyObject *value = NULL;
        if (dictionary && *dictionary) {
            value = value_of(&calls, *dictionary, "_name");
            value = value ? value : value_of(&calls, *dictionary, "_Thread__name"); /* 2.7 */
        }
        const char *text = value && is_a(&calls, value, calls.text_type) ? calls.text(value) : NULL;
        if (text) {
            strncpy(name, text, capacity - 1);
            name[capacity - 1] = '\0';
        }
        return text != NULL;
    }
    return false;
}

/* ---- the Python stack ------------------------------------------------------------------------------------------- */

/* Exported in some versions only (3.6 to 3.8, 3.11, 3.12), hidden in others, public from 3.15 on; not in 2.7. */
static void (*traceback_dumper(void))(int, PyThreadState *) {
    static void *found;
    static bool is_looked_up;
    if (!__atomic_load_n(&is_looked_up, __ATOMIC_ACQUIRE)) {
        struct elf_object cpython;
        if (real.PyThreadState_Next && elf_find_by_address((const void *)real.PyThreadState_Next, &cpython)) {
            void *address = find(&cpython, "PyUnstable_DumpTraceback");
            address = address ? address : find(&cpython, "_Py_DumpTraceback");
            address = address ? address : symbol_find_hidden(&cpython, "_Py_DumpTraceback");
            __atomic_store_n(&found, address, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&is_looked_up, true, __ATOMIC_RELEASE);
    }
    void *address = __atomic_load_n(&found, __ATOMIC_RELAXED);
    void (*dumper)(int, PyThreadState *);
    memcpy(&dumper, &address, sizeof dumper);
    return dumper;
}

bool python_has_traceback(void) {
    return traceback_dumper() != NULL;
}

int python_open_traceback(PyThreadState *state) {
    void (*dump)(int, PyThreadState *) = traceback_dumper();
    int ends[2];
    if (!dump || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    dump(ends[1], state);
    close(ends[1]);
    return ends[0];
}
