#include "redirect.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
enum { RELOC_GLOB_DAT = R_X86_64_GLOB_DAT, RELOC_JUMP_SLOT = R_X86_64_JUMP_SLOT };
#elif defined(__aarch64__)
/* JMPREL also holds TLSDESC and IRELATIVE entries here, so the kind must be looked at. */
enum { RELOC_GLOB_DAT = R_AARCH64_GLOB_DAT, RELOC_JUMP_SLOT = R_AARCH64_JUMP_SLOT };
#endif

/* The protection that ld.so gave the page of `address`: the segment's, less write where RELRO covers it. glibc rounds
 * the end of PT_GNU_RELRO down (_dl_protect_relro). -1 if no segment holds it. */
static int protection_of(const struct elf_object *object, uintptr_t address, uintptr_t page_size) {
    int protection = -1;
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t start = object->bias + segment->p_vaddr;
        uintptr_t end = start + segment->p_memsz;
        if (segment->p_type == PT_LOAD && address >= start && address < end) {
            protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
        }
    }
    for (size_t i = 0; i < object->segment_count && protection != -1; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t start = (object->bias + segment->p_vaddr) & -page_size;
        uintptr_t end = (object->bias + segment->p_vaddr + segment->p_memsz) & -page_size;
        if (segment->p_type == PT_GNU_RELRO && address >= start && address < end) {
            protection &= ~PROT_WRITE;
        }
    }
    return protection;
}

/* Makes [start, start + size) writable if it isn't. All of it must lie in one segment. */
static int make_writable(struct redirect *redirect, const struct elf_object *object, uintptr_t start, size_t size) {
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    int protection = protection_of(object, start, page_size);
    redirect->object = object;
    redirect->size = 0;
    if (protection == -1) {
        return -EFAULT;
    }
    if (protection & PROT_WRITE) {
        return 0;
    }
    uintptr_t first = start & -page_size;
    uintptr_t end = (start + size + page_size - 1) & -page_size;
    /* Execute permission stays where it is: other threads may be running code on the same page. */
    if (mprotect((void *)first, end - first, protection | PROT_WRITE) != 0) {
        return -errno;
    }
    redirect->start = first;
    redirect->size = end - first;
    redirect->protection = protection;
    return 0;
}

/* The symbol table has no size of its own; linkers put the string table right behind it. Where one doesn't, the
 * section's page range is found from the last symbol that a hash table names; asking for each export is enough then. */
static size_t symbol_table_size(const struct elf_object *object) {
    uintptr_t symbols = (uintptr_t)object->symbols;
    uintptr_t strings = (uintptr_t)object->strings;
    if (strings > symbols) {
        return strings - symbols;
    }
    return object->sysv_hash ? object->sysv_hash[1] * sizeof(ElfW(Sym)) : 0;
}

int redirect_begin(struct redirect *redirect, const struct elf_object *object) {
    size_t size = symbol_table_size(object);
    if (size == 0) {
        return -ENOTSUP;
    }
    return make_writable(redirect, object, (uintptr_t)object->symbols, size);
}

void redirect_end(const struct redirect *redirect) {
    if (redirect->size) {
        int saved_errno = errno;
        mprotect((void *)redirect->start, redirect->size, redirect->protection);
        errno = saved_errno;
    }
}

void redirect_export(const struct redirect *redirect, const ElfW(Sym) *symbol, const void *replacement) {
    ElfW(Addr) value = (ElfW(Addr))((uintptr_t)replacement - redirect->object->bias);
    __atomic_store_n((ElfW(Addr) *)&symbol->st_value, value, __ATOMIC_RELEASE);
}

void redirect_withdraw(const struct redirect *redirect, const ElfW(Sym) *symbol) {
    (void)redirect; /* the page is open: that is what it stands for */
    /* ld.so's do_lookup_x passes over a symbol whose value is 0 (elf/dl-lookup.c, check_match). */
    __atomic_store_n((ElfW(Addr) *)&symbol->st_value, 0, __ATOMIC_RELEASE);
}

static size_t bind_slots(const struct elf_object *object, const ElfW(Rela) *relocations, size_t count,
                         redirect_chooser *choose) {
    size_t rewritten = 0;
    struct redirect pages = {.size = 0};
    for (size_t i = 0; i < count; i++) {
        unsigned type = (unsigned)ELF64_R_TYPE(relocations[i].r_info);
        size_t symbol = ELF64_R_SYM(relocations[i].r_info);
        if ((type != RELOC_JUMP_SLOT && type != RELOC_GLOB_DAT) || symbol == 0) {
            continue;
        }
        uintptr_t slot = object->bias + relocations[i].r_offset;
        const void *bound = *(const void *volatile *)slot;
        const void *target = choose(object->strings + object->symbols[symbol].st_name, bound);
        if (!target || target == bound) {
            continue;
        }
        /* Slots of one kind stand close together: keep the page open while the next slot is on it. */
        if (!(pages.size && slot >= pages.start && slot - pages.start < pages.size)) {
            redirect_end(&pages);
            if (make_writable(&pages, object, slot, sizeof(void *)) != 0) {
                pages.size = 0;
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
