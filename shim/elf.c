#include "elf.h"

#include <string.h>

/* glibc relocates the pointers of a writable dynamic section in place, musl and read-only ones don't (UCX #9283). */
static const void *dynamic_pointer(uintptr_t bias, ElfW(Addr) value) {
    return (const void *)(value < bias ? bias + value : value);
}

static void read_dynamic(struct elf_object *object, const ElfW(Dyn) *entry) {
    size_t rela_size = 0;
    size_t plt_size = 0;
    bool plt_is_rela = false;
    for (; entry->d_tag != DT_NULL; entry++) {
        const void *pointer = dynamic_pointer(object->bias, entry->d_un.d_ptr);
        switch (entry->d_tag) {
        case DT_SYMTAB: object->symbols = pointer; break;
        case DT_STRTAB: object->strings = pointer; break;
        case DT_GNU_HASH: object->gnu_hash = pointer; break;
        case DT_HASH: object->sysv_hash = pointer; break;
        case DT_RELA: object->relocations = pointer; break;
        case DT_RELASZ: rela_size = entry->d_un.d_val; break;
        case DT_JMPREL: object->plt_relocations = pointer; break;
        case DT_PLTRELSZ: plt_size = entry->d_un.d_val; break;
        case DT_PLTREL: plt_is_rela = entry->d_un.d_val == DT_RELA; break;
        default: break;
        }
    }
    object->relocation_count = object->relocations ? rela_size / sizeof(ElfW(Rela)) : 0;
    object->plt_relocation_count = object->plt_relocations && plt_is_rela ? plt_size / sizeof(ElfW(Rela)) : 0;
}

bool elf_open(struct elf_object *object, const struct dl_phdr_info *info) {
    memset(object, 0, sizeof *object);
    object->bias = info->dlpi_addr;
    object->name = info->dlpi_name ? info->dlpi_name : "";
    object->segments = info->dlpi_phdr;
    object->segment_count = info->dlpi_phnum;
    for (size_t i = 0; i < object->segment_count; i++) {
        if (object->segments[i].p_type == PT_DYNAMIC) {
            object->dynamic = (const void *)(object->bias + object->segments[i].p_vaddr);
            read_dynamic(object, object->dynamic);
        }
    }
    return object->symbols && object->strings && (object->gnu_hash || object->sysv_hash);
}

static bool holds_address(const struct elf_object *object, uintptr_t address) {
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t start = object->bias + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= start && address - start < segment->p_memsz) {
            return true;
        }
    }
    return false;
}

struct visit {
    bool (*visit)(const struct elf_object *, void *);
    void *argument;
};

static int visit_one(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size;
    const struct visit *visit = argument;
    struct elf_object object;
    return elf_open(&object, info) && visit->visit(&object, visit->argument);
}

bool elf_visit(bool (*visit)(const struct elf_object *object, void *argument), void *argument) {
    struct visit closure = {visit, argument};
    return dl_iterate_phdr(visit_one, &closure) != 0;
}

struct search {
    uintptr_t address;
    struct elf_object *found;
};

static bool match_address(const struct elf_object *object, void *argument) {
    struct search *search = argument;
    if (!holds_address(object, search->address)) {
        return false;
    }
    *search->found = *object;
    return true;
}

bool elf_find_by_address(const void *address, struct elf_object *object) {
    struct search search = {(uintptr_t)address, object};
    return elf_visit(match_address, &search);
}

static int read_load_count(struct dl_phdr_info *info, size_t size, void *argument) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        *(uint64_t *)argument = info->dlpi_adds + info->dlpi_subs;
    }
    return 1;
}

uint64_t elf_load_count(void) {
    uint64_t count = 0;
    dl_iterate_phdr(read_load_count, &count);
    return count;
}

static bool is_definition_of(const struct elf_object *object, const ElfW(Sym) *symbol, const char *name) {
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
           strcmp(object->strings + symbol->st_name, name) == 0;
}

static const ElfW(Sym) *find_by_gnu_hash(const struct elf_object *object, const char *name) {
    uint32_t hash = 5381;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = hash * 33 + *c;
    }
    const uint32_t *table = object->gnu_hash;
    uint32_t bucket_count = table[0];
    uint32_t first = table[1];
    uint32_t bloom_words = table[2];
    const uint32_t *buckets = table + 4 + bloom_words * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chain = buckets + bucket_count;
    if (bucket_count == 0) {
        return NULL;
    }
    uint32_t index = buckets[hash % bucket_count];
    if (index < first) {
        return NULL;
    }
    for (;; index++) {
        uint32_t entry = chain[index - first];
        if ((entry | 1) == (hash | 1) && is_definition_of(object, &object->symbols[index], name)) {
            return &object->symbols[index];
        }
        if (entry & 1) {
            return NULL;
        }
    }
}

static const ElfW(Sym) *find_by_sysv_hash(const struct elf_object *object, const char *name) {
    uint32_t hash = 0;
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        hash = (hash << 4) + *c;
        uint32_t high = hash & 0xf0000000u;
        hash ^= high >> 24;
        hash &= ~high;
    }
    uint32_t bucket_count = object->sysv_hash[0];
    const uint32_t *buckets = object->sysv_hash + 2;
    const uint32_t *chain = buckets + bucket_count;
    if (bucket_count == 0) {
        return NULL;
    }
    for (uint32_t index = buckets[hash % bucket_count]; index != STN_UNDEF; index = chain[index]) {
        if (is_definition_of(object, &object->symbols[index], name)) {
            return &object->symbols[index];
        }
    }
    return NULL;
}

const ElfW(Sym) *elf_find_export(const struct elf_object *object, const char *name) {
    return object->gnu_hash ? find_by_gnu_hash(object, name) : find_by_sysv_hash(object, name);
}

/* How many symbols the dynamic symbol table has: no entry says so for DT_GNU_HASH, the longest chain's end does. */
static uint32_t symbol_count(const struct elf_object *object) {
    if (object->sysv_hash) {
        return object->sysv_hash[1];
    }
    const uint32_t *table = object->gnu_hash;
    const uint32_t *buckets = table + 4 + table[2] * (sizeof(ElfW(Addr)) / 4);
    const uint32_t *chain = buckets + table[0];
    uint32_t last = 0;
    for (uint32_t i = 0; i < table[0]; i++) {
        last = buckets[i] > last ? buckets[i] : last;
    }
    if (last < table[1]) {
        return table[1];
    }
    while (!(chain[last - table[1]] & 1)) {
        last++;
    }
    return last + 1;
}

const char *elf_function_at(const struct elf_object *object, const void *address, size_t *offset) {
    uintptr_t wanted = (uintptr_t)address - object->bias;
    uint32_t count = symbol_count(object);
    const char *best = NULL;
    for (uint32_t i = 1; i < count; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        if (symbol->st_shndx == SHN_UNDEF || (symbol->st_info & 0xf) != STT_FUNC) {
            continue;
        }
        if (wanted >= symbol->st_value && wanted - symbol->st_value < symbol->st_size) {
            best = object->strings + symbol->st_name;
            *offset = wanted - symbol->st_value;
        }
    }
    return best;
}

const char *elf_soname(const struct elf_object *object) {
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SONAME) {
            return object->strings + entry->d_un.d_val;
        }
    }
    return NULL;
}

bool elf_needs(const struct elf_object *object, const char *soname) {
    for (const ElfW(Dyn) *entry = object->dynamic; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_NEEDED && strcmp(object->strings + entry->d_un.d_val, soname) == 0) {
            return true;
        }
    }
    return false;
}
