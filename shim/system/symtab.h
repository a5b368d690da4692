/* The .symtab of an ELF file, which has the functions and variables that are not exported, too. Nothing in the file is
 * trusted: tables are read only to the file's end. Async-signal-safe. */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symtab {
    const char *bytes; /* the whole file, aligned to a page */
    size_t size;
    const ElfW(Sym) *symbols; /* NULL: it has no .symtab */
    size_t symbol_count;
    const char *strings;
    size_t string_size;
};

/* Returns the file's program headers if it is an ELF file of this class with `count` of them, or NULL. They are not
 * aligned. */
const char *symtab_headers(const struct symtab *file, size_t count);

/* Finds the table in bytes and size, which the caller has set. Returns false if there is none. */
bool symtab_open(struct symtab *file);

/* Copies the name of the symbol of this type (STT_FUNC, STT_OBJECT) that holds `address`, an address as the file has
 * it (without a bias), truncated to `capacity`, and stores how far into it in *offset. Returns false if none holds it. */
bool symtab_at(const struct symtab *file, uintptr_t address, unsigned type, char *name, size_t capacity,
               size_t *offset);

/* Returns the first definition of that name and type, or NULL. */
const ElfW(Sym) *symtab_find(const struct symtab *file, const char *name, unsigned type);
