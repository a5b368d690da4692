#include "system/tls.h"

#include <errno.h>
#include <link.h>

#include "system/loader.h"

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
        search->found.words = tls_size / sizeof(uintptr_t);
        search->found.module = info->dlpi_tls_modid;
    }
    return is_object;
}

static struct tls_block find_block(const void *address) {
    struct search search = {.address = (uintptr_t)address};
    loader_iterate(look, &search);
    return search.found;
}

struct tls_block tls_block_of(const void *address) {
    struct tls_block block = find_block(address);
    block.words = block.start ? block.words : 0;
    return block;
}

/* The psABI's argument of __tls_get_addr, which compilers call for a thread-local of the general kind. */
struct tls_index {
    unsigned long module;
    unsigned long offset;
};
extern void *__tls_get_addr(struct tls_index *index);

void *tls_address(size_t module, size_t offset) {
    struct tls_index index = {module, offset};
    return __tls_get_addr(&index);
}

struct tls_block tls_block_in_use(const void *address) {
    struct tls_block block = find_block(address);
    if (!block.start && block.module) {
        block.start = tls_address(block.module, 0);
    }
    return block;
}

/* The static block is in one piece, beside the thread pointer: below it on x86-64, above it on AArch64. Everything
 * between the thread pointer and something that is known to be in the block is in the block, too. Two thread-locals are
 * known to be in it: libc's errno, and ours (the initial-exec model allows nothing else). On a stack that
 * pthread_create has made, the block is between the stack and the descriptor. */
bool tls_is_static(const void *place, bool has_own_stack) {
    static __thread char own __attribute__((tls_model("initial-exec")));
    uintptr_t at = (uintptr_t)place;
    uintptr_t pointer = (uintptr_t)tls_thread_pointer();
    uintptr_t known[] = {(uintptr_t)&errno, (uintptr_t)&own,
                         has_own_stack ? (uintptr_t)__builtin_frame_address(0) : pointer};
    for (size_t i = 0; place && i < sizeof known / sizeof known[0]; i++) {
        uintptr_t low = known[i] < pointer ? known[i] : pointer;
        uintptr_t high = known[i] < pointer ? pointer : known[i];
#if defined __x86_64__
        bool is_side = low != pointer;
#else
        bool is_side = low == pointer && i < 2;
#endif
        if (is_side && at >= low && at < high) {
            return true;
        }
    }
    return false;
}
