/* Reads ELF objects that ld.so has loaded: which object holds an address, what it exports, which slots import a name.
 *
 * An object may have been changed by tools after it was linked, or be damaged where ld.so itself never looks. So
 * nothing in it is trusted: tables are read only to the end of the segments that they are in, and no loop runs for
 * longer than they have entries. Addresses are sums modulo 2^64, and the bias is negative for an object that is linked
 * at a higher address than it is loaded at. So addresses are tested against the segments and never compared with the
 * bias.
 *
 * Nothing here allocates, or asks the loader other than through loader.h. So a report can use it while another thread
 * is inside dlopen waiting for the GIL (dladdr would wait for the loader's lock: a deadlock of our own making). */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Every size is an upper limit: to the end of the segment, and of those that follow it without a gap. */
struct elf_object {
    uintptr_t bias;   /* load bias: 0 for a non-PIE executable */
    const char *name; /* as ld.so knows it; "" for the executable. Owned by ld.so. */
    const ElfW(Phdr) *segments;
    size_t segment_count;
    const ElfW(Dyn) *dynamic; /* NULL if it can't be read */
    size_t dynamic_count;     /* without DT_NULL */
    const ElfW(Sym) *symbols; /* NULL if the object has no table to look up names in */
    size_t symbol_limit;
    const char *strings;
    size_t string_limit;
    const uint32_t *gnu_hash; /* NULL if it has none */
    size_t gnu_hash_words;
    const uint32_t *sysv_hash; /* NULL if it has none */
    size_t sysv_hash_words;
    const ElfW(Half) *versions; /* of each symbol; NULL if it has none */
    size_t version_limit;
    const ElfW(Rela) *relocations;
    size_t relocation_count;
    const ElfW(Rela) *plt_relocations;
    size_t plt_relocation_count;
};

/* Fills `object` from an entry of dl_iterate_phdr. Async-signal-safe. */
void elf_open(struct elf_object *object, const struct dl_phdr_info *info);

/* Finds the loaded object that holds `address`. The object must not be closed while it is used. Returns false, and an
 * empty `object`, if no object holds the address. Locks: as loader_find. Must not be called inside elf_visit. */
bool elf_find_by_address(const void *address, struct elf_object *object);

/* Calls `visit` for each loaded object in load order until it returns true. Returns true if one call did. The loader's
 * write lock is held during the calls (loader_iterate): `visit` must not allocate, call dl* functions or wait. */
bool elf_visit(bool (*visit)(const struct elf_object *object, void *argument), void *argument);

/* Returns what has to be added to an address of the object to get where its bytes can be read: 0 for an object of this
 * process. What elf_open has found (symbols, strings and so on) can be read as it is. */
uintptr_t elf_mirror_distance(const struct elf_object *object);

/* Returns true if both are the same loaded object. The bias alone does not tell: it is 0 for all objects that are
 * loaded where they are linked to be. Each object has its name in memory of its own. */
static inline bool elf_is_same(const struct elf_object *a, const struct elf_object *b) {
    return a->name == b->name && a->bias == b->bias;
}

/* Returns the protection that ld.so gave the page at the aligned address `page`: the segment's, without write where
 * RELRO covers it. Returns -1 if no segment has the page. Async-signal-safe. */
int elf_page_protection(const struct elf_object *object, uintptr_t page, uintptr_t page_size);

/* Returns how many bytes of the object can be read from `address` on, or 0 if none of its segments holds it.
 * Async-signal-safe. */
size_t elf_readable_from(const struct elf_object *object, uintptr_t address);

/* Returns the string at `offset` in the object's string table, or NULL if it does not end there. Async-signal-safe. */
const char *elf_string(const struct elf_object *object, size_t offset);

/* Returns the object's exported definition of `name`, or NULL. Ignores versions, because CPython's symbols have none.
 * Async-signal-safe. */
const ElfW(Sym) *elf_find_export(const struct elf_object *object, const char *name);

/* Returns the number of symbols that the object's hash table knows, the undefined ones included (with DT_HASH), or left
 * out (with DT_GNU_HASH, where they come first). Never more than symbol_limit. Async-signal-safe. */
size_t elf_symbol_count(const struct elf_object *object);

/* Finds the exported definitions of `name` that mean the function of its default version: that version, and every older
 * one that is the same code. A version that behaves otherwise (pthread_cond_wait@GLIBC_2.2.5) is left out. Without
 * versions, finds every definition. Stores at most `capacity` of them and returns how many. Async-signal-safe. */
size_t elf_find_versions(const struct elf_object *object, const char *name, const ElfW(Sym) **found, size_t capacity);

/* Returns the object's DT_SONAME, or NULL. Async-signal-safe. */
const char *elf_soname(const struct elf_object *object);

/* Returns true if the object itself (not one of its dependencies) names `soname` as DT_NEEDED. Async-signal-safe. */
bool elf_needs(const struct elf_object *object, const char *soname);

/* Returns true if the object itself uses a symbol of that name that another object must define. Async-signal-safe. */
bool elf_imports(const struct elf_object *object, const char *name);

/* Returns the address of a defined symbol. */
static inline void *elf_symbol_address(const struct elf_object *object, const ElfW(Sym) *symbol) {
    return (void *)(object->bias + symbol->st_value);
}

/* Returns the name of the exported function that holds `address`, and stores how far into it in *offset. Returns NULL
 * if no function holds the address. Async-signal-safe. */
const char *elf_function_at(const struct elf_object *object, const void *address, size_t *offset);
