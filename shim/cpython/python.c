#include "cpython/python.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cpython/real.h"
#include "system/elf.h"
#include "system/symbol.h"
#include "system/text.h"

typedef struct PyObject PyObject;

/* ---- the thread's name ------------------------------------------------------------------------------------------ */

/* What the name needs of CPython, looked up when it is needed. With arguments of the types that are used here, none of
 * these makes an object, sets an error or calls Python code. That matters because the report may be in the midst of
 * anything, and an allocation that the collector counts may run finalizers. */
struct calls {
    PyObject *(*modules)(void);
    PyObject *(*module_dict)(PyObject *);
    int (*next)(PyObject *, ssize_t *, PyObject **, PyObject **);
    unsigned long (*number)(PyObject *);
    PyObject *(*type)(PyObject *);
    void (*decref)(PyObject *);
    PyObject **(*dict_of)(PyObject *);
    PyObject *(*occurred)(void);
    void *text_type, *number_type, *module_type, *dict_type;
    /* 2.7: the bytes of its str. */
    const char *(*bytes)(PyObject *);
    /* 3.x: the characters of a str. PyUnicode_AsUTF8 would keep what it makes, and fails for a surrogate. */
    ssize_t (*length)(PyObject *);
    uint32_t (*character)(PyObject *, ssize_t);
    /* From 3.11 on: for objects without a dictionary, which dict_of would make. */
    unsigned long (*flags)(PyObject *);
    void *(*slot)(PyObject *, int);
    PyObject *(*class_attribute)(PyObject *, PyObject *);
    PyObject *(*attribute)(PyObject *, PyObject *, PyObject *, int);
    PyObject *(*code_of)(PyObject *);
    ssize_t (*tuple_size)(PyObject *);
    PyObject *(*tuple_item)(PyObject *, ssize_t);
    void *function_type, *code_type, *tuple_type;
};

static void *find(const struct elf_object *cpython, const char *name) {
    const ElfW(Sym) *symbol = elf_find_export(cpython, name);
    return symbol ? elf_symbol_address(cpython, symbol) : NULL;
}

/* Finds the functions. Returns false if one that is needed is missing. `versions` says what needs a function: 2 for
 * 2.7, 3 for 3.x, M for objects with managed dictionaries (these are optional). */
static bool find_calls(struct calls *calls) {
    const struct {
        void *place;
        const char *name, *versions;
    } wanted[] = {
        {&calls->modules, "PyImport_GetModuleDict", "23"},
        {&calls->module_dict, "PyModule_GetDict", "23"},
        {&calls->next, "PyDict_Next", "23"},
        {&calls->type, "PyObject_Type", "23"},
        {&calls->decref, "Py_DecRef", "23"},
        {&calls->dict_of, "_PyObject_GetDictPtr", "23"},
        {&calls->occurred, "PyErr_Occurred", "23"},
        {&calls->module_type, "PyModule_Type", "23"},
        {&calls->dict_type, "PyDict_Type", "23"},
        {&calls->bytes, "PyString_AsString", "2"},
        {&calls->text_type, "PyString_Type", "2"},
        {&calls->number, "PyInt_AsUnsignedLongMask", "2"},
        {&calls->number_type, "PyInt_Type", "2"},
        {&calls->length, "PyUnicode_GetLength", "3"},
        {&calls->character, "PyUnicode_ReadChar", "3"},
        {&calls->text_type, "PyUnicode_Type", "3"},
        {&calls->number, "PyLong_AsUnsignedLongMask", "3"},
        {&calls->number_type, "PyLong_Type", "3"},
        {&calls->flags, "PyType_GetFlags", "3"},
        {&calls->slot, "PyType_GetSlot", "M"},
        {&calls->class_attribute, "_PyType_Lookup", "M"},
        {&calls->attribute, "_PyObject_GenericGetAttrWithDict", "M"},
        {&calls->code_of, "PyFunction_GetCode", "M"},
        {&calls->tuple_size, "PyTuple_Size", "M"},
        {&calls->tuple_item, "PyTuple_GetItem", "M"},
        {&calls->function_type, "PyFunction_Type", "M"},
        {&calls->code_type, "PyCode_Type", "M"},
        {&calls->tuple_type, "PyTuple_Type", "M"},
    };
    struct elf_object cpython;
    memset(calls, 0, sizeof *calls);
    if (!real.PyThreadState_Next || !elf_find_by_address((const void *)real.PyThreadState_Next, &cpython)) {
        return false;
    }
    const char version = find(&cpython, "PyString_Type") ? '2' : '3';
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        bool is_needed = strchr(wanted[i].versions, version) != NULL;
        void *address = is_needed || wanted[i].versions[0] == 'M' ? find(&cpython, wanted[i].name) : NULL;
        if (address) {
            memcpy(wanted[i].place, &address, sizeof address);
        } else if (is_needed) {
            return false;
        }
    }
    return true;
}

static bool is_a(const struct calls *calls, PyObject *object, const void *type) {
    PyObject *its = calls->type(object);
    calls->decref(its);
    return its == type;
}

/* Adds a character as UTF-8. A surrogate, which is not a character, becomes U+FFFD. */
static void add_character(struct text *text, uint32_t c) {
    c = c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
    if (c < 0x80) {
        text_add_span(text, (const char[]){(char)c}, 1);
    } else if (c < 0x800) {
        text_add_span(text, (const char[]){(char)(0xc0 | c >> 6), (char)(0x80 | (c & 0x3f))}, 2);
    } else if (c < 0x10000) {
        const char bytes[] = {(char)(0xe0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
        text_add_span(text, bytes, sizeof bytes);
    } else {
        const char bytes[] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)),
                              (char)(0x80 | (c & 0x3f))};
        text_add_span(text, bytes, sizeof bytes);
    }
}

/* Copies the text of a str, as many whole characters as there is room for (in 2.7, bytes). */
static void copy_text(const struct calls *calls, PyObject *string, char *buffer, size_t capacity) {
    if (calls->bytes) {
        strncpy(buffer, calls->bytes(string), capacity - 1);
        buffer[capacity - 1] = '\0';
        return;
    }
    struct text text = text_start(buffer, capacity);
    size_t whole = 0;
    ssize_t length = calls->length(string);
    for (ssize_t i = 0; i < length && text.length < capacity - 1; i++) {
        whole = text.length;
        add_character(&text, calls->character(string, i));
    }
    buffer[text.length < capacity ? text.length : whole] = '\0';
}

static bool is_text(const struct calls *calls, PyObject *object, const char *expected) {
    char buffer[32];
    if (!is_a(calls, object, calls->text_type)) {
        return false;
    }
    copy_text(calls, object, buffer, sizeof buffer);
    return strcmp(buffer, expected) == 0;
}

/* Returns the value under a name in a dictionary, or NULL. Looks for it by going through the dictionary, so that no key
 * need be made. */
static PyObject *value_of(const struct calls *calls, PyObject *dictionary, const char *name) {
    PyObject *key, *value;
    ssize_t position = 0;
    while (calls->next(dictionary, &position, &key, &value)) {
        if (is_text(calls, key, name)) {
            return value;
        }
    }
    return NULL;
}

/* Returns the tuple with the names that a code object uses, or NULL. Finds it by the description of the code object's
 * members (structmember.h, of the stable API). */
static PyObject *names_of(const struct calls *calls, PyObject *code) {
    const struct {
        const char *name;
        int type;
        ssize_t offset;
        int flags;
        const char *doc;
    } *member = calls->slot(calls->code_type, 72 /* Py_tp_members */);
    for (; member && member->name; member++) {
        if (member->type == 6 /* an object */ && strcmp(member->name, "co_names") == 0) {
            PyObject *names;
            memcpy(&names, (const char *)code + member->offset, sizeof(void *));
            return names && is_a(calls, names, calls->tuple_type) ? names : NULL;
        }
    }
    return NULL;
}

/* Returns true if dict_of would make a dictionary. (2.7, which has no PyType_GetFlags, uses the bit for something
 * else.) */
static bool has_managed_dict(const struct calls *calls, PyObject *object) {
    enum { MANAGED_DICT = 1 << 4 };
    PyObject *type = calls->type(object);
    calls->decref(type);
    return calls->flags && (calls->flags(type) & MANAGED_DICT);
}

/* Returns the attribute's name as an object, or NULL. The code that sets the attribute has that object:
 * Thread.__init__. */
static PyObject *find_key(const struct calls *calls, PyObject *threading, const char *name) {
    PyObject *class = value_of(calls, calls->module_dict(threading), "Thread");
    PyObject **dictionary = class && !has_managed_dict(calls, class) ? calls->dict_of(class) : NULL;
    PyObject *init = dictionary && *dictionary ? value_of(calls, *dictionary, "__init__") : NULL;
    PyObject *code = init && is_a(calls, init, calls->function_type) ? calls->code_of(init) : NULL;
    PyObject *names = code ? names_of(calls, code) : NULL;
    for (ssize_t i = 0; names && i < calls->tuple_size(names); i++) {
        PyObject *item = calls->tuple_item(names, i);
        if (is_text(calls, item, name)) {
            return item;
        }
    }
    return NULL;
}

/* Copies the name by which Python knows the thread object into `name`. Returns false if there is none. */
static bool name_of(const struct calls *calls, PyObject *threading, PyObject *thread, char *name, size_t capacity) {
    PyObject *type = calls->type(thread), *value = NULL, *fresh = NULL;
    if (!has_managed_dict(calls, thread)) {
        PyObject **dictionary = calls->dict_of(thread);
        value = dictionary && *dictionary ? value_of(calls, *dictionary, "_name") : NULL;
        value = !value && calls->bytes && dictionary && *dictionary
                    ? value_of(calls, *dictionary, "_Thread__name") /* 2.7 */
                    : value;
    } else if (calls->slot && calls->class_attribute && calls->attribute && calls->code_of && calls->tuple_size &&
               calls->tuple_item && calls->function_type && calls->code_type && calls->tuple_type) {
        PyObject *key = find_key(calls, threading, "_name");
        /* A class may define the attribute itself, as a property written in Python. */
        bool is_plain = key && !calls->class_attribute(type, key);
        value = fresh = is_plain ? calls->attribute(thread, key, NULL, 1 /* no error if there is none */) : NULL;
    }
    bool is_named = value && is_a(calls, value, calls->text_type);
    if (is_named) {
        copy_text(calls, value, name, capacity);
    }
    if (fresh) {
        calls->decref(fresh); /* the thread object keeps it */
    }
    calls->decref(type);
    return is_named;
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
        if (is_a(&calls, key, calls.number_type) && calls.number(key) == (unsigned long)pthread_self()) {
            return name_of(&calls, threading, thread, name, capacity);
        }
    }
    return false;
}

/* ---- the Python stack ------------------------------------------------------------------------------------------- */

python_dump *python_traceback_dump(void) {
    static python_dump *found;
    static unsigned sought_in; /* generation of the binding: another libpython may have come */
    unsigned generation = __atomic_load_n(&real_status.generation, __ATOMIC_RELAXED);
    if (__atomic_load_n(&sought_in, __ATOMIC_ACQUIRE) == generation) {
        return __atomic_load_n(&found, __ATOMIC_RELAXED);
    }
    python_dump *dump =
        real.PyUnstable_DumpTraceback ? (python_dump *)(void *)real.PyUnstable_DumpTraceback : real._Py_DumpTraceback;
    struct elf_object cpython;
    if (!dump && elf_find_by_address((const void *)real.Py_IsInitialized, &cpython)) {
        void *address = symbol_find_hidden(&cpython, "_Py_DumpTraceback");
        memcpy(&dump, &address, sizeof dump);
    }
    __atomic_store_n(&found, dump, __ATOMIC_RELAXED);
    __atomic_store_n(&sought_in, generation, __ATOMIC_RELEASE);
    return dump;
}

bool python_has_traceback(void) {
    return python_traceback_dump() != NULL;
}

int python_open_traceback(PyThreadState *state) {
    python_dump *dump = python_traceback_dump();
    int ends[2];
    if (!dump || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    dump(ends[1], state);
    close(ends[1]);
    return ends[0];
}
