#include "tls.h"

#include <link.h>
#include <stdbool.h>

#include "loader.h"

struct search {
    uintptr_t address;
    struct tls_block found;
};

static int look(struct dl_phdr_info *info, size_t size, void *argument) {
    struct search *search = argument;
    bool is_object = false;
    size_t tls_size = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        is_object = is_object || (segment->p_type == PT_LOAD && search->address - start < segment->p_memsz);
        tls_size = segment->p_type == PT_TLS ? segment->p_memsz : tls_size;
    }
    if (is_object && size >= offsetof(struct dl_phdr_info, dlpi_tls_data) + sizeof info->dlpi_tls_data) {
        search->found.start = info->dlpi_tls_data;
        search->found.words = info->dlpi_tls_data ? tls_size / sizeof(uintptr_t) : 0;
    }
    return is_object;
}

struct tls_block tls_block_of(const void *address) {
    struct search search = {.address = (uintptr_t)address};
    loader_iterate(look, &search);
    return search.found;
}
