#include "inspect/entry.h"

#include <string.h>

#include "cpython/real.h"
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

static bool find_call(const void *address, uint16_t *call) {
    struct glimpse object;
    char name[128];
    size_t offset;
    const char *at = (const char *)address - 1;
    if (!glimpse_take(&object, at) || !glimpse_function_at(&object, at, name, sizeof name, &offset)) {
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

bool entry_find(const struct stack *stack, const struct elf_object *python, uint16_t *call, const void **caller) {
    size_t at = 0;
    while (at < stack->sure && !is_in(python, stack->frames[at])) {
        at++; /* the system call, in libc */
    }
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
