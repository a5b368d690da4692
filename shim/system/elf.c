#include "system/elf.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "system/redirected.h"

/* ---- segments --------------------------------------------------------------------------------------------------- */

static uintptr_t page_size_here(void) {
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* Returns true if the segment's mapping has the page. ld.so maps whole pages; of two mappings, the later one counts. */
static bool has_page(const struct elf_object *object, const ElfW(Phdr) *segment, uintptr_t page, uintptr_t page_size) {
    uintptr_t start = object->bias + segment->p_vaddr;
    uintptr_t first = start & -page_size;
    uintptr_t size = start - first + segment->p_memsz;
    return segment->p_type == PT_LOAD && segment->p_memsz && page - first < size;
}

int elf_page_protection(const struct elf_object *object, uintptr_t page, uintptr_t page_size) {
    int protection = -1;
    const ElfW(Phdr) *relro = NULL;
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        if (has_page(object, segment, page, page_size)) {
            protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
        }
        relro = segment->p_type == PT_GNU_RELRO ? segment : relro;
    }
    if (protection != -1 && relro) {
        /* glibc rounds the end down (_dl_protect_relro) */
        uintptr_t first = (object->bias + relro->p_vaddr) & -page_size;
        uintptr_t end = (object->bias + relro->p_vaddr + relro->p_memsz) & -page_size;
        protection &= page - first < end - first ? ~PROT_WRITE : -1;
    }
    return protection;
}

/* Returns how many bytes can be read from `address` to the end of the segment that holds it. */
static size_t readable_in_segment(const struct elf_object *object, uintptr_t address, uintptr_t page_size) {
    uintptr_t page = address & -page_size;
    size_t readable = 0;
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t start = object->bias + segment->p_vaddr;
        if (has_page(object, segment, page, page_size)) {
            size_t rest = start + segment->p_memsz - address;
            bool is_inside = (segment->p_flags & PF_R) && address - start < segment->p_memsz;
            readable = is_inside ? rest : 0;
        } else if (segment->p_type == PT_LOAD && readable && (start & -page_size) - address < readable) {
            readable = (start & -page_size) - address; /* this segment is mapped over the rest */
        }
    }
    return readable;
}

/* The next segment may continue where one ends: patchelf puts a segment in front of a program's first one, and its
 * longer string table lies in both. */
size_t elf_readable_from(const struct elf_object *object, uintptr_t address) {
    uintptr_t page_size = page_size_here();
    size_t readable = 0;
    for (size_t i = 0; i <= object->segment_count; i++) {
        size_t more = readable_in_segment(object, address + readable, page_size);
        readable += more;
        if (more == 0) {
            break;
        }
    }
    return readable;
}

/* ---- the dynamic section ---------------------------------------------------------------------------------------- */

/* Returns what an entry points to, and stores how far that can be read in *size. ld.so has added the bias in place
 * where the section is writable, but not where it is read-only (the vdso's; UCX #9283). Returns NULL if the address is
 * nowhere in the object, or is not aligned as every linker aligns it. */
static const void *table(const struct elf_object *object, ElfW(Addr) value, bool is_relocated, size_t alignment,
                         size_t *size) {
    uintptr_t sum = object->bias + value;
    uintptr_t candidates[] = {is_relocated ? value : sum, is_relocated ? sum : value};
    for (size_t i = 0; i < 2; i++) {
        *size = candidates[i] % alignment == 0 ? elf_readable_from(object, candidates[i]) : 0;
        if (*size) {
            return (const void *)candidates[i];
        }
    }
    return NULL;
}

static size_t count_of(const void *entries, size_t readable, size_t said) {
    size_t size = readable < said ? readable : said;
    return entries ? size / sizeof(ElfW(Rela)) : 0;
}

static void read_dynamic(struct elf_object *object, bool is_relocated) {
    size_t rela_size = 0;
    size_t plt_size = 0;
    bool plt_is_rela = false;
    size_t symbols = 0, versions = 0, gnu_hash = 0, sysv_hash = 0, relocations = 0, plt_relocations = 0;
    for (size_t i = 0; i < object->dynamic_count; i++) {
        const ElfW(Dyn) *entry = &object->dynamic[i];
        ElfW(Addr) value = entry->d_un.d_ptr;
        enum { BYTES = 1, HALVES = sizeof(ElfW(Half)), WORDS = sizeof(uint32_t), ADDRESSES = sizeof(ElfW(Addr)) };
        switch (entry->d_tag) {
        case DT_SYMTAB: object->symbols = table(object, value, is_relocated, ADDRESSES, &symbols); break;
        case DT_STRTAB: object->strings = table(object, value, is_relocated, BYTES, &object->string_limit); break;
        case DT_GNU_HASH: object->gnu_hash = table(object, value, is_relocated, ADDRESSES, &gnu_hash); break;
        case DT_HASH: object->sysv_hash = table(object, value, is_relocated, WORDS, &sysv_hash); break;
        case DT_VERSYM: object->versions = table(object, value, is_relocated, HALVES, &versions); break;
        case DT_RELA: object->relocations = table(object, value, is_relocated, ADDRESSES, &relocations); break;
        case DT_RELASZ: rela_size = entry->d_un.d_val; break;
        case DT_JMPREL:
            object->plt_relocations = table(object, value, is_relocated, ADDRESSES, &plt_relocations);
            break;
        case DT_PLTRELSZ: plt_size = entry->d_un.d_val; break;
        case DT_PLTREL: plt_is_rela = entry->d_un.d_val == DT_RELA; break;
        default: break;
        }
    }
    object->symbol_limit = symbols / sizeof(ElfW(Sym));
    object->version_limit = versions / sizeof(ElfW(Half));
    object->gnu_hash_words = gnu_hash / sizeof(uint32_t);
    object->sysv_hash_words = sysv_hash / sizeof(uint32_t);
    object->relocation_count = count_of(object->relocations, relocations, rela_size);
    object->plt_relocation_count = count_of(object->plt_relocations, plt_relocations, plt_is_rela ? plt_size : 0);
    if (!object->strings || (!object->gnu_hash && !object->sysv_hash)) {
        object->symbols = NULL;
        object->symbol_limit = 0;
    }
}

void elf_open(struct elf_object *object, const struct dl_phdr_info *info) {
    memset(object, 0, sizeof *object);
    object->bias = info->dlpi_addr;
    object->name = info->dlpi_name ? info->dlpi_name : "";
    object->segments = info->dlpi_phdr;
    object->segment_count = info->dlpi_phnum;
    const ElfW(Phdr) *section = NULL; /* ld.so uses the last one */
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        section = segment->p_type == PT_DYNAMIC && segment->p_filesz ? segment : section;
    }
    uintptr_t start = section ? object->bias + section->p_vaddr : 0;
    size_t size = section && start % _Alignof(ElfW(Dyn)) == 0 ? elf_readable_from(object, start) : 0;
    if (size < sizeof(ElfW(Dyn))) {
        return;
    }
    object->dynamic = (const ElfW(Dyn) *)start;
    while (object->dynamic_count < size / sizeof(ElfW(Dyn)) &&
           object->dynamic[object->dynamic_count].d_tag != DT_NULL) {
        object->dynamic_count++;
    }
    read_dynamic(object, section->p_flags & PF_W);
}

/* ---- symbols ---------------------------------------------------------------------------------------------------- */

const char *elf_string(const struct elf_object *object, size_t offset) {
    if (offset >= object->string_limit) {
        return NULL;
    }
    const char *string = object->strings + offset;
    return memchr(string, '\0', object->string_limit - offset) ? string : NULL;
}

static bool is_definition_of(const struct elf_object *object, size_t index, const char *name, size_t name_size) {
    if (index >= object->symbol_limit) {
        return false;
    }
    const ElfW(Sym) *symbol = &object->symbols[index];
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 && symbol->st_name < object->string_limit &&
           name_size <= object->string_limit - symbol->st_name &&
           memcmp(object->strings + symbol->st_name, name, name_size) == 0;
}

/* A DT_GNU_HASH table, as far as it lies in its segment. */
struct gnu_table {
    const uint32_t *buckets;
    uint32_t bucket_count; /* 0: nothing can be found in it */
    uint32_t first;        /* the first symbol that is in the chains */
    const uint32_t *chain;
    size_t chain_count;
};

static struct gnu_table open_gnu_table(const struct elf_object *object) {
    enum { HEADER = 4, BLOOM_WORD = sizeof(ElfW(Addr)) / sizeof(uint32_t) };
    const uint32_t *words = object->gnu_hash;
    struct gnu_table table = {.bucket_count = 0};
    if (!words || object->gnu_hash_words < HEADER) {
        return table;
    }
    uint64_t buckets = HEADER + (uint64_t)words[2] * BLOOM_WORD;
    uint64_t chain = buckets + words[0];
    table.first = words[1];
    if (chain <= object->gnu_hash_words) {
        table.bucket_count = words[0];
        table.buckets = words + buckets;
        table.chain = words + chain;
        table.chain_count = object->gnu_hash_words - chain;
    }
    return table;
}

/* Is called for each definition of a name, until it returns true. */
typedef bool definition_visitor(const ElfW(Sym) *symbol, void *argument);

static void visit_by_gnu_hash(const struct elf_object *object, const char *name, size_t name_size,
                              definition_visitor *visit, void *argument) {
    struct gnu_table table = open_gnu_table(object);
    uint32_t hash = 5381;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = hash * 33 + *c;
    }
    if (table.bucket_count == 0) {
        return;
    }
    uint32_t start = table.buckets[hash % table.bucket_count];
    if (start < table.first) {
        return;
    }
    for (size_t at = start - table.first; at < table.chain_count; at++) {
        size_t index = at + table.first;
        if ((table.chain[at] | 1) == (hash | 1) && is_definition_of(object, index, name, name_size) &&
            visit(&object->symbols[index], argument)) {
            return;
        }
        if (table.chain[at] & 1) {
            break;
        }
    }
}

static void visit_by_sysv_hash(const struct elf_object *object, const char *name, size_t name_size,
                               definition_visitor *visit, void *argument) {
    uint32_t hash = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash << 4) + *c;
        uint32_t high = hash & 0xf0000000u;
        hash ^= high >> 24;
        hash &= ~high;
    }
    enum { HEADER = 2 };
    uint32_t bucket_count = object->sysv_hash_words >= HEADER ? object->sysv_hash[0] : 0;
    if (bucket_count == 0 || bucket_count > object->sysv_hash_words - HEADER) {
        return;
    }
    const uint32_t *buckets = object->sysv_hash + HEADER;
    const uint32_t *chain = buckets + bucket_count;
    size_t chain_count = object->sysv_hash_words - HEADER - bucket_count;
    uint32_t index = buckets[hash % bucket_count];
    for (size_t steps = 0; index != STN_UNDEF && index < chain_count && steps < chain_count; steps++) {
        if (is_definition_of(object, index, name, name_size) && visit(&object->symbols[index], argument)) {
            return;
        }
        index = chain[index];
    }
}

static void visit_definitions(const struct elf_object *object, const char *name, definition_visitor *visit,
                              void *argument) {
    size_t name_size = strlen(name) + 1;
    if (object->gnu_hash) {
        visit_by_gnu_hash(object, name, name_size, visit, argument);
    } else {
        visit_by_sysv_hash(object, name, name_size, visit, argument);
    }
}

static bool take_first(const ElfW(Sym) *symbol, void *argument) {
    *(const ElfW(Sym) **)argument = symbol;
    return true;
}

const ElfW(Sym) *elf_find_export(const struct elf_object *object, const char *name) {
    const ElfW(Sym) *found = NULL;
    visit_definitions(object, name, take_first, (void *)&found);
    return found;
}

struct definitions {
    const ElfW(Sym) **found;
    size_t count, capacity;
};

static bool take_all(const ElfW(Sym) *symbol, void *argument) {
    struct definitions *all = argument;
    all->found[all->count++] = symbol;
    return all->count == all->capacity;
}

/* The highest bit of a version marks one that new programs are not linked to. */
static bool is_default_version(const struct elf_object *object, const ElfW(Sym) *symbol) {
    size_t index = (size_t)(symbol - object->symbols);
    return index < object->version_limit && !(object->versions[index] & 0x8000);
}

size_t elf_find_versions(const struct elf_object *object, const char *name, const ElfW(Sym) **found, size_t capacity) {
    struct definitions all = {found, 0, capacity};
    if (capacity) {
        visit_definitions(object, name, take_all, &all);
    }
    const ElfW(Sym) *chosen = NULL;
    for (size_t i = 0; i < all.count; i++) {
        chosen = is_default_version(object, found[i]) ? found[i] : chosen;
    }
    size_t kept = 0;
    for (size_t i = 0; i < all.count; i++) {
        if (!object->versions || (chosen && found[i]->st_value == chosen->st_value)) {
            found[kept++] = found[i];
        }
    }
    return kept;
}

/* Returns how many symbols the dynamic symbol table has. With DT_GNU_HASH no entry gives the number, but the chain that
 * begins last ends with the last symbol. */
size_t elf_symbol_count(const struct elf_object *object) {
    size_t count = 0;
    if (object->sysv_hash) {
        count = object->sysv_hash_words > 1 ? object->sysv_hash[1] : 0;
    } else {
        struct gnu_table table = open_gnu_table(object);
        uint32_t last = 0;
        for (uint32_t i = 0; i < table.bucket_count; i++) {
            last = table.buckets[i] > last ? table.buckets[i] : last;
        }
        size_t at = last < table.first ? table.chain_count : last - table.first;
        while (at < table.chain_count && !(table.chain[at] & 1)) {
            at++;
        }
        count = at < table.chain_count ? table.first + at + 1 : table.first;
    }
    return count < object->symbol_limit ? count : object->symbol_limit;
}

bool elf_imports(const struct elf_object *object, const char *name) {
    size_t count = elf_symbol_count(object);
    for (size_t i = 1; i < count; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        const char *imported = symbol->st_shndx == SHN_UNDEF ? elf_string(object, symbol->st_name) : NULL;
        if (imported && strcmp(imported, name) == 0) {
            return true;
        }
    }
    return false;
}

const char *elf_function_at(const struct elf_object *object, const void *address, size_t *offset) {
    uintptr_t wanted = (uintptr_t)address - object->bias;
    size_t count = elf_symbol_count(object);
    const char *best = NULL;
    for (size_t i = 1; i < count; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        uintptr_t value = redirected_behind(symbol, object->bias + symbol->st_value) - object->bias;
        if (symbol->st_shndx == SHN_UNDEF || (symbol->st_info & 0xf) != STT_FUNC || wanted - value >= symbol->st_size) {
            continue;
        }
        const char *name = elf_string(object, symbol->st_name);
        if (name) {
            best = name;
            *offset = wanted - value;
        }
    }
    return best;
}

const char *elf_soname(const struct elf_object *object) {
    for (size_t i = 0; i < object->dynamic_count; i++) {
        if (object->dynamic[i].d_tag == DT_SONAME) {
            return elf_string(object, object->dynamic[i].d_un.d_val);
        }
    }
    return NULL;
}

bool elf_needs(const struct elf_object *object, const char *soname) {
    for (size_t i = 0; i < object->dynamic_count; i++) {
        const char *needed =
            object->dynamic[i].d_tag == DT_NEEDED ? elf_string(object, object->dynamic[i].d_un.d_val) : NULL;
        if (needed && strcmp(needed, soname) == 0) {
            return true;
        }
    }
    return false;
}
