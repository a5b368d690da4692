#include "modules.h"

#include <stddef.h>
#include <string.h>

#include "elf.h"
#include "symbol.h"
#include "text.h"

static struct module {
    uintptr_t object; /* its dynamic section; 0: free */
    bool is_named;
    char name[MODULE_NAME];
    struct journal_totals totals;
} modules[MODULE_COUNT];

/* Addresses that were seen: caller << 8 | module. */
enum { SEEN_COUNT = 1024 };
static uintptr_t seen[SEEN_COUNT];

static unsigned add_module(const void *caller) {
    struct elf_object object;
    if (!elf_find_by_address(caller, &object)) {
        return MODULE_OTHERS;
    }
    uintptr_t wanted = (uintptr_t)object.dynamic;
    for (unsigned i = 1; i < MODULE_COUNT; i++) {
        uintptr_t found = 0;
        if (__atomic_compare_exchange_n(&modules[i].object, &found, wanted, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            struct text text = text_start(modules[i].name, sizeof modules[i].name);
            symbol_add_object(&text, caller);
            text_end(&text);
            __atomic_store_n(&modules[i].is_named, true, __ATOMIC_RELEASE);
            return i;
        }
        if (found == wanted) {
            return i;
        }
    }
    return MODULE_OTHERS;
}

unsigned modules_of(const void *caller) {
    uintptr_t at = ((uintptr_t)caller ^ ((uintptr_t)caller >> 10)) % SEEN_COUNT;
    for (unsigned i = 0; i < 8; i++, at = (at + 1) % SEEN_COUNT) {
        uintptr_t entry = __atomic_load_n(&seen[at], __ATOMIC_RELAXED);
        if (entry >> 8 == (uintptr_t)caller) {
            return entry & 0xff;
        }
        if (!entry) {
            unsigned module = add_module(caller);
            __atomic_store_n(&seen[at], (uintptr_t)caller << 8 | module, __ATOMIC_RELAXED);
            return module;
        }
    }
    return add_module(caller);
}

struct journal_totals *modules_totals(unsigned module) {
    return &modules[module].totals;
}

const char *modules_name(unsigned module) {
    if (module == MODULE_OTHERS) {
        return "(others)";
    }
    bool is_named = module < MODULE_COUNT && __atomic_load_n(&modules[module].is_named, __ATOMIC_ACQUIRE);
    return is_named ? modules[module].name : NULL;
}

void modules_reset(void) {
    for (unsigned i = 0; i < MODULE_COUNT; i++) {
        memset(&modules[i].totals, 0, sizeof modules[i].totals);
    }
}
