/* Names for the target's addresses, as system/glimpse.h, symbol_file.h and redirected.h have them. */
#include "system/glimpse.h"

#include <string.h>

#include "inspect/objects.h"
#include "system/elf.h"
#include "system/redirected.h"
#include "system/symbol_file.h"
#include "system/text.h"

bool glimpse_take(struct glimpse *glimpse, const void *address) {
    const struct target_object *object = objects_at((uintptr_t)address);
    memset(glimpse, 0, sizeof *glimpse);
    if (!object) {
        return false;
    }
    struct text name = text_start(glimpse->name, sizeof glimpse->name);
    text_add(&name, object->elf.name);
    text_end(&name);
    glimpse->place.start = object->start;
    glimpse->place.end = object->end;
    glimpse->bias = object->elf.bias;
    return true;
}

bool glimpse_symbol_at(const struct glimpse *glimpse, const void *address, unsigned type, char *name, size_t capacity,
                       size_t *offset) {
    const struct target_object *object = objects_at(glimpse->place.start);
    size_t count = object ? elf_symbol_count(&object->elf) : 0;
    uintptr_t wanted = (uintptr_t)address - glimpse->bias;
    const char *found = NULL;
    for (size_t i = 1; i < count; i++) {
        const ElfW(Sym) *symbol = &object->elf.symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && (symbol->st_info & 0xf) == type &&
            wanted - symbol->st_value < symbol->st_size) {
            const char *candidate = elf_string(&object->elf, symbol->st_name);
            found = candidate ? candidate : found;
            *offset = wanted - symbol->st_value;
        }
    }
    if (!found || !found[0]) {
        return false;
    }
    struct text text = text_start(name, capacity);
    text_add(&text, found);
    text_end(&text);
    return true;
}

bool glimpse_function_at(const struct glimpse *glimpse, const void *address, char *name, size_t capacity,
                         size_t *offset) {
    return glimpse_symbol_at(glimpse, address, STT_FUNC, name, capacity, offset);
}

bool symbol_file_at(const struct glimpse *glimpse, const void *address, unsigned type, char *name, size_t capacity,
                    size_t *offset) {
    const struct target_object *object = objects_at(glimpse->place.start);
    return object && object->file.symbols &&
           symtab_at(&object->file, (uintptr_t)address - object->elf.bias, type, name, capacity, offset);
}

/* Which functions of the shim stand for others in the target is not known. */
uintptr_t redirected_original(uintptr_t address) {
    return address;
}

/* Symbols are the file's, in which nothing was redirected. */
uintptr_t redirected_behind(const ElfW(Sym) *symbol, uintptr_t address) {
    (void)symbol;
    return address;
}
