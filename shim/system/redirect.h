/* Rewrites what a loaded ELF object exports, and what its own imports are bound to. Knows nothing of Python.
 *
 * ld.so reads an object's dynamic symbol table for every lookup: relocation of a module of any kind (lazy, -z now,
 * -fno-plt) and dlsym alike. So one store into st_value redirects them all, without a hook on dlopen and without
 * touching any module. Stores are single aligned words: a lookup in another thread sees the old or the new value.
 *
 * Normally all of it is read-only in the process. Pages are made writable between `redirect_begin` and `redirect_end`,
 * and each then gets its former protection back (people check for writable RELRO). */
#pragma once

#include <stdbool.h>

#include "system/elf.h"

/* A table lies in one segment, so it has three runs at most: before RELRO, in it, and after it. */
enum { REDIRECT_RUNS = 3 };

/* Pages of one object that are writable for the moment. */
struct redirect {
    const struct elf_object *object;
    uintptr_t start; /* what may be written, in whole pages: [start, end) */
    uintptr_t end;
    struct redirect_run { /* pages that were made writable */
        uintptr_t start;
        uintptr_t end;
        int protection; /* what redirect_end restores */
    } runs[REDIRECT_RUNS];
    size_t run_count;
};

/* Makes the part of the object's dynamic symbol table that holds these symbols writable. Symbols that are NULL are
 * ignored. Returns 0, or -errno (SELinux may refuse, the kernel may be out of memory); then every page is protected as
 * it was. `object` must outlive `redirect`. */
int redirect_begin(struct redirect *redirect, const struct elf_object *object, const ElfW(Sym) *const *symbols,
                   size_t count);

/* Restores the protection of the pages. Preserves errno. */
void redirect_end(struct redirect *redirect);

/* Makes lookups of `symbol`, a symbol of that object, return `replacement` from now on. To be called between
 * redirect_begin and redirect_end. */
void redirect_export(const struct redirect *redirect, const ElfW(Sym) *symbol, const void *replacement);

/* Makes lookups pass over `symbol`, a symbol of that object, from now on, as if the object did not have it. To be
 * called between redirect_begin and redirect_end. */
void redirect_withdraw(const struct redirect *redirect, const ElfW(Sym) *symbol);

/* redirect_imports calls this for every function that the object imports. It returns the address to bind the function
 * to, or NULL to leave the slot alone. `bound` is what the slot is bound to now (the object's own PLT, while lazy
 * binding has not happened). */
typedef const void *redirect_chooser(const char *name, const void *bound);

/* Binds the object's own imports (JUMP_SLOT and GLOB_DAT slots, not function pointers in data) to what `choose`
 * returns. Returns how many slots were rewritten. Leaves a slot alone if its page can't be made writable. */
size_t redirect_imports(const struct elf_object *object, redirect_chooser *choose);

/* Returns false while ld.so has yet to relocate the object, or to finish that: another thread is inside the dlopen that
 * loads it. It must not be called then, and its imports must be left alone: what is written into its slots would be
 * overwritten, and a page that redirect_imports has given its final protection can't be relocated. Async-signal-safe. */
bool redirect_is_relocated(const struct elf_object *object);
