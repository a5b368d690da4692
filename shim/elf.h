/* Reading ELF objects that ld.so has loaded: which object holds an address, what it exports, which slots import a name.
 *
 * Nothing here allocates, locks or calls dl* functions other than dl_iterate_phdr, so a report can use it while another
 * thread is inside dlopen waiting for the GIL (dladdr would wait for the loader's lock: a deadlock of our own making). */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_object {
    uintptr_t bias;   /* load bias: 0 for a non-PIE executable */
    const char *name; /* as ld.so knows it; "" for the executable. Owned by ld.so. */
    const ElfW(Phdr) *segments;
    size_t segment_count;
    const ElfW(Dyn) *dynamic;
    const ElfW(Sym) *symbols;
    const char *strings;
    const uint32_t *gnu_hash;  /* NULL if it has none */
    const uint32_t *sysv_hash; /* NULL if it has none */
    const ElfW(Rela) *relocations;
    size_t relocation_count;
    const ElfW(Rela) *plt_relocations;
    size_t plt_relocation_count;
};

/* Fills `object` from what dl_iterate_phdr says of it. False if it has no usable dynamic section (vdso, static).
 * Async-signal-safe. */
bool elf_open(struct elf_object *object, const struct dl_phdr_info *info);

/* Finds the loaded object that holds `address`; false if none does. Not to be called inside dl_iterate_phdr. */
bool elf_find_by_address(const void *address, struct elf_object *object);

/* Calls `visit` for each loaded object in load order until it answers true; returns whether one did.
 * The loader's write lock is held meanwhile: `visit` must not allocate, call dl* functions or wait for anything. */
bool elf_visit(bool (*visit)(const struct elf_object *object, void *argument), void *argument);

/* How often objects have been loaded and unloaded so far: changes when the set of objects does. */
uint64_t elf_load_count(void);

/* The object's exported definition of `name`, or NULL. Ignores versions: CPython's symbols have none.
 * Async-signal-safe. */
const ElfW(Sym) *elf_find_export(const struct elf_object *object, const char *name);

/* The object's DT_SONAME, or NULL. Async-signal-safe. */
const char *elf_soname(const struct elf_object *object);

/* Whether the object itself (not its dependencies) names `soname` as DT_NEEDED. Async-signal-safe. */
bool elf_needs(const struct elf_object *object, const char *soname);

/* Address of a defined symbol. */
static inline void *elf_symbol_address(const struct elf_object *object, const ElfW(Sym) *symbol) {
    return (void *)(object->bias + symbol->st_value);
}

/* Name of the exported function that holds `address`, and in *offset how far into it; NULL if none is near.
 * Async-signal-safe. */
const char *elf_function_at(const struct elf_object *object, const void *address, size_t *offset);
