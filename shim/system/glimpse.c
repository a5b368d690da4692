#include "system/glimpse.h"

#include <string.h>

#include "system/redirected.h"
#include "system/thread.h"

enum { CHUNK = 512 };

/* ---- how many symbols there are --------------------------------------------------------------------------------- */

/* Returns the largest of `count` words, or 0 if they can't be read. */
static uint32_t largest(uintptr_t words, uint32_t count) {
    uint32_t piece[CHUNK / sizeof(uint32_t)], found = 0;
    while (count) {
        uint32_t size = count < CHUNK / sizeof *piece ? count : (uint32_t)(CHUNK / sizeof *piece);
        if (!thread_read_memory((const void *)words, piece, size * sizeof *piece)) {
            return 0;
        }
        for (uint32_t i = 0; i < size; i++) {
            found = piece[i] > found ? piece[i] : found;
        }
        words += size * sizeof *piece;
        count -= size;
    }
    return found;
}

/* DT_GNU_HASH does not give the number, but the chain that begins last ends with the last symbol. */
static uint32_t count_by_gnu_hash(uintptr_t table) {
    enum { SYMBOLS_MAX = 1 << 24 };
    uint32_t header[4]; /* buckets, the first symbol in them, words of the filter, shift */
    if (!thread_read_memory((const void *)table, header, sizeof header)) {
        return 0;
    }
    uintptr_t buckets = table + sizeof header + header[2] * sizeof(ElfW(Addr));
    uintptr_t chain = buckets + header[0] * sizeof(uint32_t);
    uint32_t last = largest(buckets, header[0]);
    for (uint32_t entry; last >= header[1] && last < SYMBOLS_MAX; last++) {
        if (!thread_read_memory((const void *)(chain + (last - header[1]) * sizeof entry), &entry, sizeof entry)) {
            return 0;
        }
        if (entry & 1) {
            return last + 1;
        }
    }
    return header[1];
}

static uint32_t count_by_hash(uintptr_t table) {
    uint32_t header[2];
    return thread_read_memory((const void *)table, header, sizeof header) ? header[1] : 0;
}

/* ---- the object ------------------------------------------------------------------------------------------------- */

/* ld.so has added the bias in place if the section is writable. */
static uintptr_t table_at(const struct glimpse *glimpse, ElfW(Addr) value) {
    bool is_inside = value - glimpse->place.start < glimpse->place.end - glimpse->place.start;
    return is_inside ? value : glimpse->bias + value;
}

static void read_dynamic(struct glimpse *glimpse, uintptr_t section) {
    enum { ENTRIES_MAX = 512 };
    uintptr_t gnu_hash = 0, hash = 0;
    ElfW(Dyn) entry = {.d_tag = DT_NULL};
    for (int i = 0; i < ENTRIES_MAX; i++, section += sizeof entry) {
        if (!thread_read_memory((const void *)section, &entry, sizeof entry) || entry.d_tag == DT_NULL) {
            break;
        }
        uintptr_t at = table_at(glimpse, entry.d_un.d_ptr);
        switch (entry.d_tag) {
        case DT_SYMTAB: glimpse->symbols = at; break;
        case DT_STRTAB: glimpse->strings = at; break;
        case DT_GNU_HASH: gnu_hash = at; break;
        case DT_HASH: hash = at; break;
        default: break;
        }
    }
    if (glimpse->symbols && glimpse->strings) {
        glimpse->symbol_count = hash ? count_by_hash(hash) : gnu_hash ? count_by_gnu_hash(gnu_hash) : 0;
    }
}

bool glimpse_take(struct glimpse *glimpse, const void *address) {
    struct link_map map;
    memset(glimpse, 0, sizeof *glimpse);
    if (!loader_locate(address, &glimpse->place) || !thread_read_memory(glimpse->place.map, &map, sizeof map)) {
        return false;
    }
    glimpse->bias = map.l_addr;
    glimpse->headers = loader_headers(&glimpse->place, &glimpse->header_count);
    if (map.l_name && !thread_read_string(map.l_name, glimpse->name, sizeof glimpse->name)) {
        return false;
    }
    read_dynamic(glimpse, (uintptr_t)map.l_ld);
    return true;
}

bool glimpse_symbol_at(const struct glimpse *glimpse, const void *address, unsigned type, char *name, size_t capacity,
                       size_t *offset) {
    ElfW(Sym) piece[CHUNK / sizeof(ElfW(Sym))];
    uint32_t const room = sizeof piece / sizeof *piece;
    uintptr_t wanted = (uintptr_t)address - glimpse->bias;
    uintptr_t string = 0;
    for (uint32_t done = 1; done < glimpse->symbol_count; done += room) {
        uint32_t left = glimpse->symbol_count - done;
        uint32_t count = left < room ? left : room;
        if (!thread_read_memory((const void *)(glimpse->symbols + done * sizeof *piece), piece,
                                count * sizeof *piece)) {
            break;
        }
        for (uint32_t i = 0; i < count; i++) {
            bool is_wanted = piece[i].st_shndx != SHN_UNDEF && (piece[i].st_info & 0xf) == type;
            uintptr_t value = piece[i].st_value;
            if (type == STT_FUNC) {
                uintptr_t symbol = glimpse->symbols + (done + i) * sizeof *piece;
                value = redirected_behind((const ElfW(Sym) *)symbol, glimpse->bias + value) - glimpse->bias;
            }
            if (is_wanted && wanted - value < piece[i].st_size) {
                string = glimpse->strings + piece[i].st_name;
                *offset = wanted - value;
            }
        }
    }
    return string && thread_read_string((const char *)string, name, capacity) && name[0];
}

bool glimpse_function_at(const struct glimpse *glimpse, const void *address, char *name, size_t capacity,
                         size_t *offset) {
    return glimpse_symbol_at(glimpse, address, STT_FUNC, name, capacity, offset);
}
