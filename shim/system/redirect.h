/* Rewriting what a loaded ELF object exports, and what its own imports are bound to. Knows nothing of Python.
 *
 * ld.so reads an object's dynamic symbol table for every lookup: relocation of a module of any kind (lazy, -z now,
 * -fno-plt) and dlsym alike. So one store into st_value redirects them all, without a hook on dlopen and without
 * touching any module. Stores are single aligned words: another thread's lookup sees the old or the new value.
 *
 * Everything is read-only in the process normally; pages are made writable for the time of a `redirect_begin` /
 * `redirect_end` pair, and each gets its former protection back (people check for writable RELRO). */
#pragma once

#include "system/elf.h"

/* A table lies in one segment: what stands before RELRO, in it, and behind it. */
enum { REDIRECT_RUNS = 3 };

/* Pages of one object that are writable for the moment. */
struct redirect {
    const struct elf_object *object;
    uintptr_t start; /* what may be written, in whole pages: [start, end) */
    uintptr_t end;
    struct redirect_run { /* of pages that were made writable */
        uintptr_t start;
        uintptr_t end;
        int protection; /* what redirect_end restores */
    } runs[REDIRECT_RUNS];
    size_t run_count;
};

/* Makes the part of the object's dynamic symbol table writable that holds these symbols; those that are NULL don't count.
 * 0, or -errno (SELinux may refuse, the kernel be out of memory): then every page is protected as it was. `object` must
 * outlive `redirect`. */
int redirect_begin(struct redirect *redirect, const struct elf_object *object, const ElfW(Sym) *const *symbols,
                   size_t count);

/* Gives the pages their protection back. Leaves errno alone. */
void redirect_end(struct redirect *redirect);

/* Lookups of `symbol` answer `replacement` from now on. Between begin and end, in that object. */
void redirect_export(const struct redirect *redirect, const ElfW(Sym) *symbol, const void *replacement);

/* Lookups pass over `symbol` from now on, as if the object did not have it. Between begin and end, in that object. */
void redirect_withdraw(const struct redirect *redirect, const ElfW(Sym) *symbol);

/* What redirect_imports asks for every function that the object imports: the address to bind it to, or NULL to leave
 * the slot alone. `bound`: what it is bound to now (its own PLT, while lazy binding has not happened). */
typedef const void *redirect_chooser(const char *name, const void *bound);

/* Binds the object's own imports (JUMP_SLOT and GLOB_DAT slots, not function pointers in data) to what `choose`
 * answers. Returns how many slots were rewritten. A slot whose page can't be made writable is left alone. */
size_t redirect_imports(const struct elf_object *object, redirect_chooser *choose);
