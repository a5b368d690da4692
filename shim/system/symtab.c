#include "system/symtab.h"

#include <string.h>

#include "system/text.h"

static bool holds(const struct symtab *file, uint64_t offset, uint64_t size) {
    return offset <= file->size && size <= file->size - offset;
}

static const ElfW(Ehdr) *header_of(const struct symtab *file) {
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)file->bytes;
    bool is_elf = holds(file, 0, sizeof *header) && memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
                  header->e_ident[EI_CLASS] == ELFCLASS64;
    return is_elf ? header : NULL;
}

const char *symtab_headers(const struct symtab *file, size_t count) {
    const ElfW(Ehdr) *header = header_of(file);
    if (!header || header->e_phnum != count || header->e_phentsize != sizeof(ElfW(Phdr)) ||
        !holds(file, header->e_phoff, count * sizeof(ElfW(Phdr)))) {
        return NULL;
    }
    return file->bytes + header->e_phoff;
}

bool symtab_open(struct symtab *file) {
    const ElfW(Ehdr) *header = header_of(file);
    if (!header || header->e_shentsize != sizeof(ElfW(Shdr)) || header->e_shoff % _Alignof(ElfW(Shdr)) != 0 ||
        !holds(file, header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr)))) {
        return false;
    }
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(const void *)(file->bytes + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *table = &sections[i];
        if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum) {
            continue;
        }
        const ElfW(Shdr) *names = &sections[table->sh_link];
        if (!holds(file, table->sh_offset, table->sh_size) || !holds(file, names->sh_offset, names->sh_size) ||
            table->sh_offset % _Alignof(ElfW(Sym)) != 0 || names->sh_size == 0 ||
            file->bytes[names->sh_offset + names->sh_size - 1] != '\0') {
            return false;
        }
        file->symbols = (const ElfW(Sym) *)(const void *)(file->bytes + table->sh_offset);
        file->symbol_count = table->sh_size / sizeof(ElfW(Sym));
        file->strings = file->bytes + names->sh_offset;
        file->string_size = names->sh_size;
        return true;
    }
    return false;
}

static const char *name_of(const struct symtab *file, const ElfW(Sym) *symbol, unsigned type) {
    bool is_wanted = (symbol->st_info & 0xf) == type && symbol->st_shndx != SHN_UNDEF;
    return is_wanted && symbol->st_name < file->string_size ? file->strings + symbol->st_name : NULL;
}

bool symtab_at(const struct symtab *file, uintptr_t address, unsigned type, char *name, size_t capacity,
               size_t *offset) {
    for (size_t i = 0; i < file->symbol_count; i++) {
        const char *candidate = name_of(file, &file->symbols[i], type);
        uintptr_t distance = address - file->symbols[i].st_value;
        if (candidate && candidate[0] && distance < file->symbols[i].st_size) {
            struct text text = text_start(name, capacity);
            text_add(&text, candidate);
            text_end(&text);
            *offset = distance;
            return true;
        }
    }
    return false;
}

const ElfW(Sym) *symtab_find(const struct symtab *file, const char *name, unsigned type) {
    for (size_t i = 0; i < file->symbol_count; i++) {
        const char *candidate = name_of(file, &file->symbols[i], type);
        if (candidate && strcmp(candidate, name) == 0) {
            return &file->symbols[i];
        }
    }
    return NULL;
}
