#include "journal/modules.h"

#include <stddef.h>
#include <string.h>

#include "system/loader.h"
#include "system/symbol.h"
#include "system/text.h"

static struct module {
    uint64_t identity; /* hash of its file's name; 0: free */
    uintptr_t start;   /* where it was loaded when last seen */
    bool is_named;
    char name[MODULE_NAME];
    struct journal_totals totals;
} modules[MODULE_COUNT];

/* Addresses that were seen. An entry is two words that must fit each other and the number of closings. An entry that is
 * half written by one thread and half by another, or by a signal handler, does not fit and counts as none. */
enum { SEEN_COUNT = 1024 };
static struct seen {
    uintptr_t entry; /* caller << 8 | module */
    uintptr_t check;
} seen[SEEN_COUNT];

static uintptr_t check_of(uintptr_t entry) {
    uintptr_t closings = __atomic_load_n(&loader_closings, __ATOMIC_ACQUIRE);
    return entry ^ ((closings + 1) * (uintptr_t)0x9e3779b97f4a7c15u);
}

static uint64_t hash_of(const char *name) {
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *name; name++) {
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    }
    return hash ? hash : 1;
}

static unsigned add_module(const void *caller) {
    struct dl_phdr_info object;
    if (!loader_find(caller, &object)) {
        return MODULE_OTHERS;
    }
    uint64_t wanted = hash_of(object.dlpi_name);
    for (unsigned i = 1; i < MODULE_COUNT; i++) {
        uint64_t found = 0;
        bool is_new = __atomic_compare_exchange_n(&modules[i].identity, &found, wanted, false, __ATOMIC_ACQ_REL,
                                                  __ATOMIC_ACQUIRE);
        if (is_new || found == wanted) {
            __atomic_store_n(&modules[i].start, object.dlpi_addr, __ATOMIC_RELAXED);
        }
        if (is_new) {
            struct text text = text_start(modules[i].name, sizeof modules[i].name);
            symbol_add_library(&text, caller);
            text_end(&text);
            __atomic_store_n(&modules[i].is_named, true, __ATOMIC_RELEASE);
        }
        if (is_new || found == wanted) {
            return i;
        }
    }
    return MODULE_OTHERS;
}

unsigned modules_of(const void *caller) {
    uintptr_t at = ((uintptr_t)caller ^ ((uintptr_t)caller >> 10)) % SEEN_COUNT;
    for (unsigned i = 0; i < 8; i++, at = (at + 1) % SEEN_COUNT) {
        uintptr_t entry = __atomic_load_n(&seen[at].entry, __ATOMIC_RELAXED);
        bool is_caller = entry >> 8 == (uintptr_t)caller;
        if (is_caller && __atomic_load_n(&seen[at].check, __ATOMIC_RELAXED) == check_of(entry)) {
            return entry & 0xff;
        }
        if (!entry || is_caller) {
            uintptr_t unknown = (uintptr_t)caller << 8;
            uintptr_t closings_before = check_of(unknown);
            unsigned module = add_module(caller);
            entry = unknown | module;
            __atomic_store_n(&seen[at].entry, entry, __ATOMIC_RELAXED);
            __atomic_store_n(&seen[at].check, closings_before ^ module, __ATOMIC_RELAXED);
            return module;
        }
    }
    return add_module(caller);
}

uintptr_t modules_place(const void *caller) {
    unsigned module = modules_of(caller);
    uintptr_t start = module == MODULE_OTHERS ? 0 : __atomic_load_n(&modules[module].start, __ATOMIC_RELAXED);
    uintptr_t mask = ((uintptr_t)1 << MODULE_PLACE_BITS) - 1;
    return (uintptr_t)module << MODULE_PLACE_BITS | (((uintptr_t)caller - start) & mask);
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
