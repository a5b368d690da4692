/* Which CPythons are loaded in the target, and where their variables are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect/interpreter.h"
#include "inspect/machine_code.h"
#include "inspect/target.h"

enum {
    CODE_MAX = 256,      /* of a function that is looked at */
    REFERENCES_MAX = 16, /* in it */
    DISPLACEMENT_MAX = 1 << 20,
};

static uintptr_t symbol(const struct target_object *object, const char *name) {
    uintptr_t address;
    return target_symbol(object, name, &address, NULL) ? address : 0;
}

static size_t references_of(const struct target_object *object, const char *function, struct reference *found) {
    uint8_t code[CODE_MAX];
    uintptr_t address;
    size_t size;
    if (!target_symbol(object, function, &address, &size)) {
        return 0;
    }
    size = size && size < sizeof code ? size : sizeof code;
    while (size && !target_read(address, code, size)) {
        size /= 2; /* it is said to be larger than what is mapped */
    }
    return machine_code_references(code, size, address, found, REFERENCES_MAX);
}

/* Returns the address of the variable whose value the function gets first. Returns 0 if it can't be told. */
static uintptr_t variable_of(const struct target_object *object, const char *function) {
    struct reference found[REFERENCES_MAX];
    size_t count = references_of(object, function, found);
    for (size_t i = 0; i < count; i++) {
        if (found[i].kind != REFERENCE_LOAD) {
            continue;
        }
        if (!found[i].is_followed) {
            return found[i].address;
        }
        /* An exported variable of a library: its address is in the global offset table. */
        uintptr_t base;
        bool is_plausible = found[i].displacement >= 0 && found[i].displacement < DISPLACEMENT_MAX;
        return is_plausible && target_read(found[i].address, &base, sizeof base)
                   ? base + (uintptr_t)found[i].displacement
                   : 0;
    }
    return 0;
}

/* ---- the version ------------------------------------------------------------------------------------------------ */

/* A version up to 3.10 says its number nowhere but in text. These functions came with it. */
static void find_minor_by_names(struct interpreter_cpython *cpython) {
    const struct target_object *object = cpython->object;
    cpython->major = 3;
    if (!cpython->runtime) {
        if (symbol(object, "PyString_FromString") && symbol(object, "PyCapsule_New")) {
            cpython->major = 2;
            cpython->minor = 7;
        } else if (symbol(object, "PyOS_FSPath")) {
            cpython->minor = 6;
        } else {
            cpython->reason = "a version before 2.7 or 3.6";
        }
        return;
    }
    cpython->minor = symbol(object, "PyModule_AddObjectRef")       ? 10
                     : symbol(object, "PyInterpreterState_Get")    ? 9
                     : symbol(object, "PyConfig_InitPythonConfig") ? 8
                                                                   : 7;
}

/* Py_GetVersion returns a text that begins "3.8.18 (", and refers to that text or to its parts. */
static void find_micro(struct interpreter_cpython *cpython) {
    struct reference found[REFERENCES_MAX];
    char beginning[16];
    size_t count = references_of(cpython->object, "Py_GetVersion", found);
    size_t length = (size_t)snprintf(beginning, sizeof beginning, "%d.%d.", cpython->major, cpython->minor);
    for (size_t i = 0; i < count; i++) {
        char text[16], *end;
        if (found[i].kind == REFERENCE_ADDRESS && target_read_string(found[i].address, text, sizeof text) &&
            strncmp(text, beginning, length) == 0) {
            long micro = strtol(text + length, &end, 10);
            if (end > text + length && micro >= 0 && micro < 256) {
                cpython->micro = (int)micro;
                return;
            }
        }
    }
}

static void find_version(struct interpreter_cpython *cpython) {
    const struct target_object *object = cpython->object;
    uintptr_t address = symbol(object, "Py_Version");
    uint64_t hex = 0;
    cpython->micro = -1;
    bool is_said = cpython->runtime && layout_read_version(cpython->runtime, &hex, &cpython->is_free_threaded);
    if (is_said || (address && target_read(address, &hex, sizeof hex))) {
        cpython->major = (int)(hex >> 24 & 0xff);
        cpython->minor = (int)(hex >> 16 & 0xff);
        cpython->micro = (int)(hex >> 8 & 0xff);
    } else {
        find_minor_by_names(cpython);
        find_micro(cpython);
    }
    cpython->is_debug = symbol(object, "_Py_NegativeRefcount") != 0; /* 2.7 to 3.15: Py_REF_DEBUG */
    cpython->is_traced = symbol(object, "_Py_AddToAllObjects") != 0 || symbol(object, "_Py_PrintReferences") != 0;
}

/* ---- the variables ---------------------------------------------------------------------------------------------- */

static void find_static_variables(struct interpreter_cpython *cpython) {
    static const char *const gil_names[GIL_VARIABLES] = {
        "gil_locked", "gil_last_holder", "gil_switch_number", "gil_mutex", "gil_cond", "switch_mutex", "switch_cond",
    };
    const struct target_object *object = cpython->object;
    cpython->head = symbol(object, "interp_head");
    if (!cpython->head) {
        cpython->head = variable_of(object, "PyInterpreterState_Head");
    }
    cpython->current = symbol(object, "_PyThreadState_Current");
    if (cpython->major == 2) {
        cpython->lock = symbol(object, "interpreter_lock");
        if (!cpython->lock) {
            cpython->lock = variable_of(object, "PyEval_ReleaseLock");
        }
        return;
    }
    cpython->finalizing = symbol(object, "_Py_Finalizing");
    for (int i = 0; i < GIL_VARIABLES; i++) {
        cpython->gil_variables[i] = symbol(object, gil_names[i]);
    }
}

/* The table is about the last releases of a version. In the first ones of 3.7 what follows in _PyRuntime was nearer to its
 * beginning: the function that returns the attached state tells where it is, and the rest has moved with it. */
static void correct_by_code(struct interpreter_cpython *cpython) {
    struct layout *layout = &cpython->layout;
    uintptr_t runtime, current = variable_of(cpython->object, "_PyThreadState_UncheckedGet");
    size_t size;
    if (!target_symbol(cpython->object, "_PyRuntime", &runtime, &size) || current < runtime ||
        current - runtime >= size) {
        return;
    }
    int32_t shift = (int32_t)(current - cpython->runtime) - layout->runtime_current;
    layout->runtime_current += shift;
    layout->runtime_gil += shift;
    layout->runtime_key += shift;
}

static void find_runtime_variables(struct interpreter_cpython *cpython) {
    struct layout *layout = &cpython->layout;
    if (layout->runtime_current >= 0) {
        correct_by_code(cpython);
        cpython->current = cpython->runtime + (uintptr_t)layout->runtime_current;
    }
    cpython->head = cpython->runtime + (uintptr_t)layout->runtime_head;
    cpython->finalizing = cpython->runtime + (uintptr_t)layout->runtime_finalizing;
    cpython->key = layout->runtime_key >= 0 ? cpython->runtime + (uintptr_t)layout->runtime_key : 0;
}

static void examine(struct interpreter_cpython *cpython) {
    cpython->runtime = symbol(cpython->object, "_PyRuntime");
    find_version(cpython);
    if (cpython->reason) {
        return;
    }
    if (cpython->is_traced && cpython->major == 3 && cpython->minor >= 8 && cpython->minor <= 12) {
        cpython->reason = "built with --with-trace-refs, whose structures are not known";
        return;
    }
    bool is_larger = (cpython->is_traced && cpython->minor <= 7) || (cpython->is_debug && cpython->is_free_threaded);
    if (!layout_find(cpython->major, cpython->minor, is_larger, cpython->is_free_threaded, &cpython->layout)) {
        cpython->reason = "a version whose structures are not known";
        return;
    }
    if (cpython->minor >= 13 &&
        !layout_read_offsets(cpython->runtime, cpython->minor, cpython->is_free_threaded, &cpython->layout)) {
        cpython->reason = "what it says about its own structures (_PyRuntime.debug_offsets) makes no sense";
        return;
    }
    if (cpython->runtime) {
        find_runtime_variables(cpython);
    } else {
        find_static_variables(cpython);
    }
    cpython->code_type = symbol(cpython->object, "PyCode_Type");
    if (!cpython->head) {
        cpython->reason = "its list of interpreters was not found";
    }
}

size_t interpreter_find(struct interpreter_cpython *found, size_t capacity) {
    const struct target_object *objects;
    size_t object_count = target_objects(&objects);
    size_t count = 0;
    for (size_t i = 0; i < object_count && count < capacity; i++) {
        const struct target_object *object = &objects[i];
        if (!symbol(object, "PyInterpreterState_Head") || !symbol(object, "PyEval_RestoreThread")) {
            continue;
        }
        struct interpreter_cpython *cpython = &found[count++];
        memset(cpython, 0, sizeof *cpython);
        cpython->object = object;
        examine(cpython);
    }
    return count;
}
