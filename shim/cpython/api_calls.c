#include "cpython/api_calls.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpython/real.h"
#include "system/elf.h"
#include "system/redirect.h"

/* The exported functions of the CPython that is bound, in the order of its table of symbols. */
static struct checked {
    const ElfW(Sym) *symbol;
    uint32_t thunk;
} checked[THUNK_COUNT];
static unsigned count;

/* The thunks by number. Points into CPython's strings. */
static const char *names[THUNK_COUNT];
static const void *thunks[THUNK_COUNT];

static bool imports_are_left; /* to be wrapped: another thread was opening the library */

static const char *const left_alone[] = {
#define STATELESS(name, source) name,
#define COMPARED(name) name,
#include "stateless.def"
#undef STATELESS
#undef COMPARED
};

/* Returns true if `pattern` stands for `name`. A '*' stands for any characters. */
static bool stands_for(const char *pattern, const char *name) {
    const char *star = strchr(pattern, '*');
    if (!star) {
        return strcmp(pattern, name) == 0;
    }
    size_t before = (size_t)(star - pattern), after = strlen(star + 1), length = strlen(name);
    return length >= before + after && memcmp(pattern, name, before) == 0 &&
           memcmp(star + 1, name + length - after, after) == 0;
}

/* 2.7 has no PyMem_RawMalloc: there PyMem_Malloc is malloc itself. */
static bool is_raw_memory(const char *name) {
    return strncmp(name, "PyMem_", 6) == 0 && !elf_find_export(real_object(), "PyMem_RawMalloc");
}

static bool is_checked(const char *name) {
    if (strncmp(name, "Py", 2) != 0 && strncmp(name, "_Py", 3) != 0) {
        return false;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        if (strcmp(name, real_api_names[i]) == 0) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof left_alone / sizeof left_alone[0]; i++) {
        if (stands_for(left_alone[i], name)) {
            return false;
        }
    }
    return !is_raw_memory(name);
}

static bool is_function(const ElfW(Sym) *symbol) {
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value && (symbol->st_info & 0xf) == STT_FUNC &&
           symbol->st_info >> 4 != STB_LOCAL;
}

/* Takes a thunk for each function that is to be checked. */
static void collect(const struct elf_object *object) {
    size_t symbols = elf_symbol_count(object);
    for (size_t i = 1; i < symbols && count < THUNK_COUNT; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        const char *name = is_function(symbol) ? elf_string(object, symbol->st_name) : NULL;
        unsigned number;
        const void *thunk = name && is_checked(name) ? thunk_take(elf_symbol_address(object, symbol), &number) : NULL;
        if (thunk) {
            names[number] = name;
            thunks[number] = thunk;
            checked[count++] = (struct checked){symbol, number};
        }
    }
}

static const struct checked *find(const ElfW(Sym) *symbol) {
    unsigned first = 0, end = count;
    while (first < end) {
        unsigned middle = first + (end - first) / 2;
        if (checked[middle].symbol < symbol) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first < count && checked[first].symbol == symbol ? &checked[first] : NULL;
}

static const struct checked *find_name(const char *name) {
    const ElfW(Sym) *symbol = name[0] == 'P' || name[0] == '_' ? elf_find_export(real_object(), name) : NULL;
    return symbol ? find(symbol) : NULL;
}

static const void *give_back(const char *name, const void *bound) {
    (void)bound;
    const struct checked *found = find_name(name);
    return found ? thunk_target(found->thunk) : NULL;
}

static const void *wrap_bound(const char *name, const void *bound) {
    const struct checked *found = find_name(name);
    return found && thunk_target(found->thunk) == bound ? thunks[found->thunk] : NULL;
}

/* Libraries that were bound before, by ld.so at the program's start or in a dlopen, get the thunks, too. */
static bool wrap_imports(const struct elf_object *object, void *self) {
    if (elf_is_same(object, real_object()) || elf_is_same(object, self)) {
        return false;
    }
    if (redirect_is_relocated(object)) {
        redirect_imports(object, wrap_bound);
    } else {
        __atomic_store_n(&imports_are_left, true, __ATOMIC_RELEASE);
    }
    return false;
}

void api_calls_look_again(void) {
    struct elf_object self;
    if (__atomic_exchange_n(&imports_are_left, false, __ATOMIC_ACQ_REL) && real_object() &&
        elf_find_by_address(&real, &self)) {
        elf_visit(wrap_imports, &self);
    }
}

unsigned api_calls_redirect(thunk_judge_function *judge) {
    struct elf_object self;
    struct redirect redirect;
    count = 0;
    __atomic_store_n(&imports_are_left, false, __ATOMIC_RELEASE);
    thunk_take_back(); /* another CPython is only bound when the former has been closed */
    if (!real_object() || !elf_find_by_address(&real, &self)) {
        return 0;
    }
    __atomic_store_n(&thunk_judge, judge, __ATOMIC_RELEASE);
    collect(real_object());
    if (!count) {
        return 0;
    }
    const ElfW(Sym) *ends[] = {checked[0].symbol, checked[count - 1].symbol};
    if (redirect_begin(&redirect, real_object(), ends, 2) != 0) {
        count = 0;
        return 0;
    }
    redirect_imports(real_object(), give_back);
    for (unsigned i = 0; i < count; i++) {
        redirect_export(&redirect, checked[i].symbol, thunks[checked[i].thunk]);
    }
    redirect_end(&redirect);
    elf_visit(wrap_imports, &self);
    return count;
}

const char *api_calls_name(unsigned number) {
    for (unsigned i = 0; i < count; i++) {
        if (checked[i].thunk == number) {
            return names[number];
        }
    }
    return "?";
}
