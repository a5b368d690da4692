#include "hooks/lock_binding.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpython/real.h"
#include "diagnose/gil_waits.h"
#include "diagnose/lock_order.h"
#include "hooks/lock_hooks.h"
#include "system/dlsym_hook.h"
#include "system/elf.h"
#include "system/loader.h"
#include "system/redirect.h"
#include "system/redirected.h"

/* Libraries that have the functions. A process may have several C++ runtimes. What a library exported before it was
 * redirected is kept, because the imports of others are bound to that. */
enum { EXPORTERS = 8, SAME_CODE = 4, SYMBOLS = LOCK_FUNCTIONS * SAME_CODE };
static struct exporter {
    struct elf_object object;
    const void *originals[LOCK_FUNCTIONS];
} exporters[EXPORTERS];
static size_t exporter_count;

/* What struct lock_real begins with. */
static const void **real_table(void) {
    return (const void **)(void *)&lock_real;
}

static bool is_named(const struct elf_object *object, const char *const *sonames, size_t count) {
    const char *soname = elf_soname(object);
    for (size_t i = 0; soname && i < count; i++) {
        if (strncmp(soname, sonames[i], strlen(sonames[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* In the order of what comes first if two have a function: below glibc 2.34, libc's are stand-ins for libpthread's. */
static bool is_exporter(const struct elf_object *object) {
    static const char *const sonames[] = {"libpthread.so.", "libc.so.", "libstdc++.so.", "libc++abi.so."};
    return is_named(object, sonames, sizeof sonames / sizeof sonames[0]);
}

/* Libraries whose own calls are not judged: ld.so, libc, the compilers' runtimes (the unwinder, which the shim uses in
 * reports), the sanitizers, CPython, and the shim. */
static bool is_left_out(const struct elf_object *object) {
    static const char *const sonames[] = {"ld-linux",    "libpthread.so.", "libc.so.",    "libgcc_s.so.",
                                          "libunwind",   "libasan.so.",    "libtsan.so.", "libubsan.so.",
                                          "liblsan.so.", "libhwasan.so.",  "libclang_rt."};
    return real_is_cpython(object) || real_is_self(object) ||
           is_named(object, sonames, sizeof sonames / sizeof sonames[0]);
}

/* What the names begin with, so that most other names need no comparison. */
static uint64_t first_letters;

static uint64_t letter_bit(char letter) {
    return (uint64_t)1 << ((unsigned char)letter & 63);
}

static int index_of(const char *name) {
    if (!(first_letters & letter_bit(name[0]))) {
        return -1;
    }
    for (int i = 0; i < LOCK_FUNCTIONS; i++) {
        if (strcmp(name, lock_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---- imports ---------------------------------------------------------------------------------------------------- */

static bool is_original(int index, const void *address) {
    for (size_t i = 0; i < exporter_count; i++) {
        if (address && exporters[i].originals[index] == address) {
            return true;
        }
    }
    return false;
}

/* A slot that is not bound yet finds the redirected export when it is. */
static const void *wrap(const char *name, const void *bound) {
    int index = index_of(name);
    return index >= 0 && is_original(index, bound) ? lock_wrappers[index] : NULL;
}

static bool is_looking;

/* Another thread may have been looking. */
static void after_fork_in_child(void) {
    is_looking = false;
}

/* What a lookup of the names in the whole process gave before anything was redirected. An allocator or another preload may
 * come before libc: what is bound to that stays so. */
static const void *found_first[LOCK_FUNCTIONS];

void lock_binding_prepare(void) {
    for (int i = 0; i < LOCK_FUNCTIONS; i++) {
        found_first[i] = libc_real_dlsym(RTLD_DEFAULT, lock_names[i]);
        first_letters |= letter_bit(lock_names[i][0]);
    }
    redirected_set_wrappers(lock_wrappers, real_table(), LOCK_FUNCTIONS);
    dlerror();                                             /* clears the message that a missing name leaves */
    (void)pthread_atfork(NULL, NULL, after_fork_in_child); /* without memory, such a child judges no library it opens */
}

static const struct elf_object *giving_to;

/* Gives the real function to a slot that has our wrapper, or that will find it because it is not bound yet (it then leads
 * into the object's own PLT). All others stay as they are: direct already, another allocator's, or empty. */
static const void *give_back(const char *name, const void *bound) {
    int index = index_of(name);
    if (index < 0 || !bound) {
        return NULL;
    }
    bool is_unbound = elf_readable_from(giving_to, (uintptr_t)bound) && is_original(index, found_first[index]);
    return bound == lock_wrappers[index] || is_unbound ? real_table()[index] : NULL;
}

/* Sets *left if another thread is still opening the library: its imports must be left alone until that has ended. */
static bool bind_imports(const struct elf_object *object, void *left) {
    if (redirect_is_relocated(object)) {
        giving_to = object;
        redirect_imports(object, is_left_out(object) ? give_back : wrap);
    } else {
        *(bool *)left = true;
    }
    return false;
}

/* ---- exports ---------------------------------------------------------------------------------------------------- */

static bool is_known(const struct elf_object *object) {
    for (size_t i = 0; i < exporter_count; i++) {
        const struct elf_object *known = &exporters[i].object;
        if (known->bias == object->bias && known->symbols == object->symbols) {
            return true;
        }
    }
    return false;
}

struct looking {
    struct elf_object found[EXPORTERS]; /* new exporters */
    size_t count;
    unsigned left_out; /* how many libraries are left out, which have slots to be given back */
};

static bool look_at(const struct elf_object *object, void *argument) {
    struct looking *looking = argument;
    if (is_exporter(object) && !is_known(object) && exporter_count + looking->count < EXPORTERS) {
        looking->found[looking->count++] = *object;
    }
    looking->left_out += is_left_out(object);
    return false;
}

/* Fills the real functions that this library has and no better one. */
static void learn(const struct exporter *exporter) {
    const char *soname = elf_soname(&exporter->object);
    bool is_better = strncmp(soname, "libpthread", 10) == 0;
    for (int i = 0; i < LOCK_FUNCTIONS; i++) {
        if (exporter->originals[i] && (is_better || !real_table()[i])) {
            __atomic_store_n(&real_table()[i], exporter->originals[i], __ATOMIC_RELEASE);
        }
    }
}

/* The size of what `free` is given must come from the same allocator. */
static void learn_size(struct exporter *exporter) {
    const ElfW(Sym) *symbol = elf_find_export(&exporter->object, "malloc_usable_size");
    if (symbol && exporter->originals[LOCK_INDEX_free] && !lock_real.malloc_usable_size) {
        void *address = elf_symbol_address(&exporter->object, symbol);
        memcpy(&lock_real.malloc_usable_size, &address, sizeof address);
    } else {
        exporter->originals[LOCK_INDEX_free] = NULL;
    }
}

/* Finds what the library exports, and redirects it. */
static void redirect_exports(struct exporter *exporter) {
    const ElfW(Sym) *symbols[SYMBOLS] = {NULL};
    struct redirect redirect;
    for (int i = 0; i < LOCK_FUNCTIONS; i++) {
        const ElfW(Sym) *found[SAME_CODE];
        size_t count = elf_find_versions(&exporter->object, lock_names[i], found, SAME_CODE);
        for (size_t k = 0; k < count; k++) {
            if ((found[k]->st_info & 0xf) == STT_FUNC) {
                symbols[i * SAME_CODE + (int)k] = found[k];
                exporter->originals[i] = elf_symbol_address(&exporter->object, found[k]);
            }
        }
    }
    learn_size(exporter);
    learn(exporter);
    if (redirect_begin(&redirect, &exporter->object, symbols, SYMBOLS) != 0) {
        return; /* libraries that come later are not judged */
    }
    for (int i = 0; i < SYMBOLS; i++) {
        if (symbols[i] && exporter->originals[i / SAME_CODE]) {
            redirect_export(&redirect, symbols[i], lock_wrappers[i / SAME_CODE]);
        }
    }
    redirect_end(&redirect);
}

/* Whether a library may have been closed and another one, or the same, be there in its place. */
static bool has_closed(void) {
    static unsigned seen_closings, seen_generation;
    unsigned closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
    unsigned generation =
        real_status.generation; /* libpython may be closed by a library that does not call our dlclose */
    bool has_changed = closings != seen_closings || generation != seen_generation;
    seen_closings = closings;
    seen_generation = generation;
    return has_changed;
}

void lock_binding_look(void) {
    static uint64_t seen_changes;
    static unsigned seen_left_out;
    static bool imports_are_left;
    if (!lock_order_is_on || !real_is_served()) {
        return;
    }
    uint64_t changes = loader_changes();
    if (changes == __atomic_load_n(&seen_changes, __ATOMIC_ACQUIRE) ||
        __atomic_exchange_n(&is_looking, true, __ATOMIC_ACQUIRE)) {
        return;
    }
    struct looking looking = {.count = 0};
    elf_visit(look_at, &looking);
    for (size_t i = 0; i < looking.count; i++) {
        struct exporter *exporter = &exporters[exporter_count];
        memset(exporter, 0, sizeof *exporter);
        exporter->object = looking.found[i];
        redirect_exports(exporter);
        exporter_count++;
    }
    if (has_closed() || looking.count || looking.left_out != seen_left_out || imports_are_left) {
        seen_left_out = looking.left_out;
        imports_are_left = false;
        elf_visit(bind_imports, &imports_are_left);
    }
    if (!imports_are_left) {
        __atomic_store_n(&seen_changes, changes, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&is_looking, false, __ATOMIC_RELEASE);
}
