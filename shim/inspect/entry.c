#include "inspect/entry.h"

#include <string.h>

#include "cpython/real.h"
#include "diagnose/wait_graph.h"
#include "system/glimpse.h"

static bool is_in(const struct elf_object *object, const void *address) {
    struct elf_object found;
    return address && elf_find_by_address((const char *)address - 1, &found) && elf_is_same(&found, object);
}

/* The shim's wrappers stand in between in a process that has it. */
static bool is_shim(const void *address) {
    struct elf_object found;
    return address && elf_find_by_address((const char *)address - 1, &found) && real_is_self(&found);
}

static bool name_function(const void *address, char name[128]) {
    struct glimpse object;
    size_t offset;
    const char *at = (const char *)address - 1;
    return glimpse_take(&object, at) && glimpse_function_at(&object, at, name, 128, &offset);
}

static bool find_call(const void *address, uint16_t *call) {
    char name[128];
    if (!name_function(address, name)) {
        return false;
    }
    for (unsigned i = 0; i < REAL_API_COUNT; i++) {
        if (strcmp(name, real_api_names[i]) == 0) {
            *call = (uint16_t)i;
            return true;
        }
    }
    return false;
}

/* Returns the number of the innermost frame in CPython; stack->sure: there is none. */
static size_t find_inside(const struct stack *stack, const struct elf_object *python) {
    size_t at = 0;
    while (at < stack->sure && !is_in(python, stack->frames[at])) {
        at++; /* the system call, in libc */
    }
    return at;
}

bool entry_is_inside(const struct stack *stack, const struct elf_object *python) {
    return find_inside(stack, python) < stack->sure;
}

bool entry_find(const struct stack *stack, const struct elf_object *python, uint16_t *call, const void **caller) {
    size_t at = find_inside(stack, python);
    while (at < stack->sure && is_in(python, stack->frames[at])) {
        at++;
    }
    if (at == 0 || at >= stack->sure || !is_in(python, stack->frames[at - 1]) ||
        !find_call(stack->frames[at - 1], call)) {
        return false;
    }
    while (at + 1 < stack->sure && is_shim(stack->frames[at])) {
        at++;
    }
    *caller = stack->frames[at];
    return true;
}

/* Python code runs in one function, in 2.7 and 3.6 to 3.15. */
static bool is_eval_loop(const void *address) {
    char name[128];
    return name_function(address, name) &&
           (strcmp(name, "_PyEval_EvalFrameDefault") == 0 || strcmp(name, "PyEval_EvalFrameEx") == 0);
}

const void *entry_find_attacher(const struct stack *stack, const struct elf_object *python, bool has_frame) {
    struct elf_object waiting = {0}, object;
    bool is_waiting_known = false, is_outside = false;
    for (size_t i = 0; i < stack->sure; i++) {
        const char *address = stack->frames[i];
        if (is_in(python, address)) {
            is_outside |= is_waiting_known && is_eval_loop(address);
            if (is_outside && !has_frame) {
                return NULL;
            }
            continue;
        }
        if (!address || !elf_find_by_address(address - 1, &object) || !wait_graph_may_be_culprit(&object)) {
            continue;
        }
        if (!is_waiting_known) {
            waiting = object;
            is_waiting_known = true;
        } else if (has_frame ? is_outside : !elf_is_same(&object, &waiting)) {
            return address;
        }
    }
    return NULL;
}
