/* Damages ELF objects where it matters to those who read them: in the headers, the dynamic section, hash tables, symbols,
   strings and relocations. The same seed does the same damage. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct mutate_object {
    const uint8_t *bytes;
    size_t size;
    struct {
        size_t offset, size;
    } regions[24];
    size_t region_count;
};

static inline uint64_t mutate_random(uint64_t *seed) {
    uint64_t z = *seed += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void mutate_add_region(struct mutate_object *object, size_t offset, size_t size) {
    if (size && object->region_count < sizeof object->regions / sizeof object->regions[0]) {
        object->regions[object->region_count].offset = offset;
        object->regions[object->region_count++].size = size;
    }
}

/* An undamaged object with section headers, which tell where its tables are. */
static inline void mutate_open(struct mutate_object *object, const uint8_t *bytes, size_t size) {
    const Elf64_Ehdr *header = (const void *)bytes;
    const Elf64_Shdr *sections = (const void *)(bytes + header->e_shoff);
    *object = (struct mutate_object){.bytes = bytes, .size = size};
    mutate_add_region(object, header->e_phoff, (size_t)header->e_phnum * sizeof(Elf64_Phdr));
    for (unsigned i = 0; i < header->e_shnum; i++) {
        unsigned type = sections[i].sh_type;
        bool is_table = type == SHT_DYNSYM || type == SHT_GNU_HASH || type == SHT_HASH || type == SHT_STRTAB ||
                        type == SHT_DYNAMIC || type == SHT_RELA || type == SHT_NOTE;
        if (is_table && (sections[i].sh_flags & SHF_ALLOC))
            mutate_add_region(object, sections[i].sh_offset, sections[i].sh_size);
    }
}

static inline uint64_t mutate_value(const struct mutate_object *object, uint64_t before, uint64_t *seed) {
    uint64_t random = mutate_random(seed);
    switch (random % 13) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return before + 1 + (random >> 8) % 16;
    case 3: return before - 1 - (random >> 8) % 16;
    case 4: return before ^ 1ull << (random >> 8) % 64;
    case 5: return (random >> 8) % 64;
    case 6: return (random >> 8) % object->size;
    case 7: return before + 4096 * ((random >> 8) % 9) - 4 * 4096;
    case 8: return (uint64_t)1 << (random >> 8) % 64;
    case 9: return before << (random >> 8) % 32;
    case 10: return object->regions[(random >> 8) % object->region_count].offset;
    case 11: return 0x7fffffff - (random >> 8) % 4;
    default: return random;
    }
}

/* `bytes` becomes a damaged copy of the object; it has room for its size. */
static inline void mutate(const struct mutate_object *object, uint8_t *bytes, uint64_t seed) {
    memcpy(bytes, object->bytes, object->size);
    for (uint64_t left = 1 + mutate_random(&seed) % 4; left; left--) {
        uint64_t random = mutate_random(&seed);
        size_t width = (size_t)1 << random % 4;
        size_t start = 0;
        size_t size = object->size;
        if (random >> 2 & 7) { /* else anywhere */
            start = object->regions[(random >> 8) % object->region_count].offset;
            size = object->regions[(random >> 8) % object->region_count].size;
        }
        size_t at = start + mutate_random(&seed) % size / width * width;
        if (at + width > object->size)
            continue;
        uint64_t value = 0;
        memcpy(&value, bytes + at, width);
        value = mutate_value(object, value, &seed);
        memcpy(bytes + at, &value, width);
    }
}
