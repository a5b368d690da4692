#include "system/redirect.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/redirected.h"
#include "system/thunks.h"

#if defined(__x86_64__)
enum { RELOC_GLOB_DAT = R_X86_64_GLOB_DAT, RELOC_JUMP_SLOT = R_X86_64_JUMP_SLOT, RELOC_IRELATIVE = R_X86_64_IRELATIVE };
#elif defined(__aarch64__)
/* JMPREL also holds TLSDESC and IRELATIVE entries here, so the kind must be looked at. */
enum {
    RELOC_GLOB_DAT = R_AARCH64_GLOB_DAT,
    RELOC_JUMP_SLOT = R_AARCH64_JUMP_SLOT,
    RELOC_IRELATIVE = R_AARCH64_IRELATIVE
};
#endif

void redirect_end(struct redirect *redirect) {
    int saved_errno = errno;
    for (size_t i = 0; i < redirect->run_count; i++) {
        const struct redirect_run *run = &redirect->runs[i];
        mprotect((void *)run->start, run->end - run->start, run->protection);
    }
    redirect->run_count = 0;
    redirect->start = redirect->end = 0;
    errno = saved_errno;
}

/* Finds the runs of pages in [start, end) that can't be written. Returns false if there are more than the table holds,
 * or if a page is in no segment. */
static bool find_runs(struct redirect *redirect, uintptr_t page_size) {
    for (uintptr_t page = redirect->start; page != redirect->end; page += page_size) {
        int protection = elf_page_protection(redirect->object, page, page_size);
        struct redirect_run *last = redirect->run_count ? &redirect->runs[redirect->run_count - 1] : NULL;
        if (protection == -1) {
            return false;
        }
        if (protection & PROT_WRITE) {
            continue;
        }
        if (last && last->end == page && last->protection == protection) {
            last->end += page_size;
        } else if (redirect->run_count < REDIRECT_RUNS) {
            redirect->runs[redirect->run_count++] = (struct redirect_run){page, page + page_size, protection};
        } else {
            return false;
        }
    }
    return true;
}

/* Makes the pages of [start, start + size) writable where they are not. Returns 0, or -errno; then nothing has
 * changed. */
static int make_writable(struct redirect *redirect, const struct elf_object *object, uintptr_t start, size_t size) {
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    int saved_errno = errno;
    *redirect = (struct redirect){
        .object = object, .start = start & -page_size, .end = (start + size + page_size - 1) & -page_size};
    if (!find_runs(redirect, page_size)) {
        *redirect = (struct redirect){.object = object};
        return -EFAULT;
    }
    size_t count = redirect->run_count;
    for (redirect->run_count = 0; redirect->run_count < count;) {
        const struct redirect_run *run = &redirect->runs[redirect->run_count++];
        /* Execute permission is kept, because other threads may be running code on the same page. */
        if (mprotect((void *)run->start, run->end - run->start, run->protection | PROT_WRITE) != 0) {
            int error = errno;
            redirect_end(redirect); /* includes this run, which may have been changed in part */
            errno = saved_errno;
            return -error;
        }
    }
    return 0;
}

int redirect_begin(struct redirect *redirect, const struct elf_object *object, const ElfW(Sym) *const *symbols,
                   size_t count) {
    uintptr_t first = UINTPTR_MAX;
    uintptr_t last = 0;
    *redirect = (struct redirect){.object = object};
    for (size_t i = 0; i < count; i++) {
        uintptr_t symbol = (uintptr_t)symbols[i];
        first = symbol && symbol < first ? symbol : first;
        last = symbol > last ? symbol : last;
    }
    return last ? make_writable(redirect, object, first, last + sizeof(ElfW(Sym)) - first) : 0;
}

void redirect_export(const struct redirect *redirect, const ElfW(Sym) *symbol, const void *replacement) {
    uintptr_t bias = redirect->object->bias;
    ElfW(Addr) value = (ElfW(Addr))((uintptr_t)replacement - bias);
    if (thunk_behind((uintptr_t)replacement) == (uintptr_t)replacement) {
        redirected_note(symbol, bias + symbol->st_value);
    }
    __atomic_store_n((ElfW(Addr) *)&symbol->st_value, value, __ATOMIC_RELEASE);
}

void redirect_withdraw(const struct redirect *redirect, const ElfW(Sym) *symbol) {
    (void)redirect; /* it only stands for the page being writable */
    /* ld.so's do_lookup_x passes over a symbol whose value is 0 (elf/dl-lookup.c, check_match). */
    __atomic_store_n((ElfW(Addr) *)&symbol->st_value, 0, __ATOMIC_RELEASE);
}

static size_t bind_slots(const struct elf_object *object, const ElfW(Rela) *relocations, size_t count,
                         redirect_chooser *choose) {
    size_t rewritten = 0;
    struct redirect pages = {.object = object};
    uintptr_t readable = 0; /* the last range of slots that was found readable */
    size_t readable_size = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(relocations[i].r_info);
        size_t symbol = ELF64_R_SYM(relocations[i].r_info);
        uintptr_t slot = object->bias + relocations[i].r_offset;
        if ((type != RELOC_JUMP_SLOT && type != RELOC_GLOB_DAT) || symbol == 0 || symbol >= object->symbol_limit ||
            slot % sizeof(void *) != 0) {
            continue;
        }
        if (slot - readable >= readable_size) {
            readable = slot;
            readable_size = elf_readable_from(object, slot) & -sizeof(void *);
            if (readable_size == 0) {
                continue;
            }
        }
        const char *name = elf_string(object, object->symbols[symbol].st_name);
        const void *bound = *(const void *volatile *)slot;
        const void *target = name ? choose(name, bound) : NULL;
        if (!target || target == bound) {
            continue;
        }
        /* Slots of one kind lie close together, so the page stays writable while the next slot is on it. */
        if (slot - pages.start >= pages.end - pages.start) {
            redirect_end(&pages);
            if (make_writable(&pages, object, slot, sizeof(void *)) != 0) {
                continue;
            }
        }
        __atomic_store_n((const void **)slot, target, __ATOMIC_RELEASE);
        rewritten++;
    }
    redirect_end(&pages);
    return rewritten;
}

size_t redirect_imports(const struct elf_object *object, redirect_chooser *choose) {
    return bind_slots(object, object->relocations, object->relocation_count, choose) +
           bind_slots(object, object->plt_relocations, object->plt_relocation_count, choose);
}

enum slot_says { SAYS_NOTHING, SAYS_RELOCATED, SAYS_UNRELOCATED, SAYS_PERHAPS };

/* A linker leaves in a slot 0, or the address of the PLT, of a resolver or of data without the bias. Once relocated, only a
 * missing weak symbol's is 0; and what looks like an address without a bias may be one of an executable that is no PIE. */
static enum slot_says ask_slot(const struct elf_object *object, const ElfW(Rela) *relocation) {
    unsigned type = (unsigned)ELF64_R_TYPE(relocation->r_info);
    size_t symbol = ELF64_R_SYM(relocation->r_info);
    uintptr_t slot = object->bias + relocation->r_offset;
    bool has_symbol = type == RELOC_JUMP_SLOT || type == RELOC_GLOB_DAT;
    if ((!has_symbol && type != RELOC_IRELATIVE) || slot % sizeof(void *) != 0 ||
        elf_readable_from(object, slot) < sizeof(void *)) {
        return SAYS_NOTHING;
    }
    uintptr_t value = *(const volatile uintptr_t *)slot;
    if (value == 0) {
        bool may_be_missing =
            has_symbol && (symbol >= object->symbol_limit || object->symbols[symbol].st_info >> 4 == STB_WEAK);
        return may_be_missing ? SAYS_NOTHING : SAYS_UNRELOCATED;
    }
    if (object->bias && elf_readable_from(object, object->bias + value) != 0) {
        bool is_pie = getauxval(AT_ENTRY) > UINT32_MAX;
        return is_pie ? SAYS_UNRELOCATED : SAYS_PERHAPS;
    }
    return SAYS_RELOCATED;
}

/* ld.so goes through the PLT's relocations last, from the first one to the last one, and adds the bias to those that it
 * leaves for lazy binding (elf/do-rel.h); IRELATIVE ones come at their end. So the last one that says something counts. */
bool redirect_is_relocated(const struct elf_object *object) {
    enum { DOUBTFUL_MAX = 8 };
    bool has_plt = object->plt_relocation_count != 0;
    const ElfW(Rela) *relocations = has_plt ? object->plt_relocations : object->relocations;
    size_t doubtful = 0;
    for (size_t i = has_plt ? object->plt_relocation_count : object->relocation_count; i-- > 0;) {
        enum slot_says says = ask_slot(object, &relocations[i]);
        doubtful += says == SAYS_PERHAPS;
        if (says == SAYS_RELOCATED) {
            return true;
        }
        if (says == SAYS_UNRELOCATED || doubtful == DOUBTFUL_MAX) {
            return false;
        }
    }
    return doubtful == 0;
}
