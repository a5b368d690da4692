/* Objects of a target whose program headers are anything at all: nothing may be mapped or copied to where the mirror is
 * not. The target here is an image in memory, and its file. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inspect/mirror.h"
#include "inspect/objects.h"
#include "inspect/target.h"
#include "system/cfi.h"
#include "system/redirected.h"
#include "test.h"

enum { PAGE = 4096, IMAGE = 16 * PAGE, SEGMENTS = 6, ROUNDS = 20000 };

#define BASE ((uintptr_t)0x500000000000)

static _Alignas(PAGE) unsigned char image[IMAGE];
static bool has_file;
static int file_fd;
static unsigned mapped_outside, made;

uintptr_t redirected_behind(const ElfW(Sym) *symbol, uintptr_t address) {
    (void)symbol;
    return address;
}

/* ---- where it maps ----------------------------------------------------------------------------------------------- */

/* The last mirror: with a page at each end that must not be touched. */
static struct {
    char *start;
    size_t size;
} mirror;

void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
    size_t pages = (size + PAGE - 1) & -(size_t)PAGE;
    if (flags & MAP_FIXED) {
        size_t place = (size_t)((char *)address - mirror.start);
        if (place > mirror.size || pages > mirror.size - place) {
            mapped_outside++;
            return MAP_FAILED;
        }
    } else if (flags & MAP_ANONYMOUS) {
        char *room = __real_mmap(NULL, pages + 2 * (size_t)PAGE, PROT_NONE, flags, -1, 0);
        if (room == MAP_FAILED) {
            return room;
        }
        mirror.start = room + PAGE;
        mirror.size = pages;
        mprotect(mirror.start, pages, protection);
        return mirror.start;
    }
    return __real_mmap(address, size, protection, flags, fd, offset);
}

/* ---- the target -------------------------------------------------------------------------------------------------- */

static size_t read_image(uintptr_t address, void *to, size_t size) {
    size_t place = address - BASE;
    size_t count = place >= IMAGE ? 0 : size < IMAGE - place ? size : IMAGE - place;
    memcpy(to, image + place, count);
    return count;
}

static void visit_mappings(void (*visit)(const struct target_mapping *mapping)) {
    struct target_mapping mapping = {BASE, BASE + IMAGE, 0, true, true, "/image"};
    visit(&mapping);
}

static int open_image(const struct target_mapping *mapping) {
    (void)mapping;
    return has_file && pwrite(file_fd, image, IMAGE, 0) == IMAGE ? dup(file_fd) : -1;
}

/* ---- headers ----------------------------------------------------------------------------------------------------- */

static ElfW(Phdr) *segments(void) {
    return (ElfW(Phdr) *)(void *)(image + sizeof(ElfW(Ehdr)));
}

static void make_image(void) {
    ElfW(Ehdr) header = {.e_ident = ELFMAG, .e_type = ET_DYN, .e_phoff = sizeof header, .e_phnum = SEGMENTS};
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_phentsize = sizeof(ElfW(Phdr));
    memset(image, 0, sizeof image);
    memcpy(image, &header, sizeof header);
    segments()[0] = (ElfW(Phdr)){.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = 4 * PAGE, .p_memsz = 4 * PAGE};
    for (unsigned i = 1; i < 4; i++) {
        segments()[i] = (ElfW(Phdr)){.p_type = PT_LOAD,
                                     .p_flags = PF_R | PF_W,
                                     .p_offset = i * 4 * PAGE + 16,
                                     .p_vaddr = i * 4 * PAGE + 16,
                                     .p_filesz = 2 * PAGE,
                                     .p_memsz = 3 * PAGE};
    }
    segments()[4] = (ElfW(Phdr)){.p_type = PT_DYNAMIC,
                                 .p_flags = PF_R | PF_W,
                                 .p_offset = 8 * PAGE + 64,
                                 .p_vaddr = 8 * PAGE + 64,
                                 .p_filesz = 256,
                                 .p_memsz = 256};
    uintptr_t table[] = {DT_SYMTAB, BASE + 64, DT_STRTAB, BASE + 128, DT_HASH, BASE + 192};
    memcpy(image + 8 * (size_t)PAGE + 64, table, sizeof table);
}

static uint64_t any(void) {
    static const uint64_t edges[] = {0,          1,          PAGE,         4 * PAGE,        15 * PAGE,
                                     IMAGE,      1ull << 30, -(uint64_t)1, -(uint64_t)PAGE, -(uint64_t)(8 * PAGE),
                                     1ull << 47, 1ull << 63, BASE,         -(uint64_t)BASE};
    size_t count = sizeof edges / sizeof edges[0];
    uint64_t offset = (uint64_t)(random() % 3) - 1;
    return random() % 4 ? edges[(size_t)random() % count] + offset * (random() % 2 ? 16 : PAGE)
                        : (uint64_t)(random() % (2 * IMAGE));
}

static void damage(ElfW(Phdr) *segment) {
    switch (random() % 6) {
    case 0: segment->p_vaddr = any(); break;
    case 1: segment->p_memsz = any(); break;
    case 2: segment->p_filesz = any(); break;
    case 3: segment->p_offset = any(); break;
    case 4: segment->p_type = (ElfW(Word))(random() % 4); break;
    default: segment->p_vaddr = segment->p_offset = any(); break;
    }
}

static void look(void) {
    const struct target_object *all;
    uintptr_t address;
    mirror.start = NULL;
    mirror.size = 0;
    objects_find();
    made += target_objects(&all) != 0;
    if (target_objects(&all)) {
        target_symbol(all, "nothing", &address, NULL);
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void an_object_is_found(void) {
    for (int i = 0; i < 2; i++) {
        const struct target_object *all;
        has_file = i;
        make_image();
        look();
        CHECK(target_objects(&all) == 1);
        CHECK(all->start == BASE && all->end == BASE + 15 * PAGE + 16);
        CHECK((all->file.bytes != NULL) == has_file);
        CHECK(memcmp((void *)(all->start + all->distance), image, 4 * (size_t)PAGE) == 0);
    }
}

static void nothing_is_mapped_or_copied_elsewhere(void) {
    srandom(1);
    made = mapped_outside = 0;
    for (int i = 0; i < ROUNDS; i++) {
        has_file = random() % 2;
        make_image();
        for (long n = random() % 3; n >= 0; n--) {
            damage(&segments()[random() % SEGMENTS]);
        }
        look();
    }
    CHECK(!mapped_outside);
    CHECK(made > ROUNDS / 10 && made < ROUNDS);
}

/* The first of all segments is not the lowest: the others would be written before the mirror's beginning. */
static void segments_in_another_order_are_refused(void) {
    const struct target_object *all;
    make_image();
    segments()[5] = segments()[0];
    segments()[0].p_vaddr = 12 * PAGE;
    has_file = false;
    look();
    CHECK(target_objects(&all) == 0);
}

static void segments_beyond_all_addresses_are_refused(void) {
    const struct target_object *all;
    make_image();
    segments()[3].p_memsz = -(uint64_t)PAGE;
    look();
    CHECK(target_objects(&all) == 0);
    make_image();
    segments()[3].p_filesz = 4 * PAGE; /* p_memsz is less */
    look();
    CHECK(target_objects(&all) == 0);
}

static void large_objects_are_mapped_but_not_copied(void) {
    const struct target_object *all;
    uintptr_t address;
    for (int i = 0; i < 2; i++) {
        has_file = i;
        make_image();
        segments()[3].p_memsz = 3ull << 30;
        look();
        CHECK(target_objects(&all) == 1 && all->start == BASE && all->end > BASE + (3ull << 30));
        CHECK(strcmp(all->elf.name, "/image") == 0 && objects_at(BASE + (2ull << 30)) == all);
        CHECK((all->distance != 0) == has_file && (all->elf.segment_count != 0) == has_file);
        CHECK(!target_symbol(all, "nothing", &address, NULL));
    }
}

/* Entries for unwinding that lead anywhere: most of them to the last bytes of the object, behind which is nothing. */
static void entries_are_read_inside_the_object_only(void) {
    static const uint8_t start[] = {1, 0x1b, 0x03, 0x3b};
    const uint32_t header = 6 * PAGE + 16 - 64, last = 15 * PAGE + 16;
    unsigned found = 0;
    srandom(2);
    for (int i = 0; i < ROUNDS; i++) {
        const struct target_object *all;
        struct cfi_shape shape;
        make_image();
        segments()[3].p_filesz = 3 * PAGE;
        uint32_t frames = random() % 2 ? header - 256 : last - (uint32_t)(random() % 64),
                 count = random() % 4 ? 2 : (uint32_t)any();
        int32_t pairs[] = {-(int32_t)header, (int32_t)(frames - header), -(int32_t)header + 2 * PAGE,
                           (int32_t)(frames - header)};
        segments()[5] = (ElfW(Phdr)){
            .p_type = PT_GNU_EH_FRAME, .p_vaddr = header, .p_offset = header, .p_filesz = 32, .p_memsz = 32};
        memcpy(image + header, start, sizeof start);
        memcpy(image + header + 8, &count, sizeof count);
        memcpy(image + header + 12, pairs, sizeof pairs);
        for (size_t at = frames & ~3u; at < frames + 256 && at + 4 < IMAGE && (at < header || at > header + 64);
             at += 4) {
            uint32_t word = random() % 3 ? (uint32_t)(random() % 256) : (uint32_t)random();
            memcpy(image + at, &word, sizeof word);
        }
        if (random() % 2 && frames + 40 < last) { /* a common entry, and one that refers to it */
            static const uint8_t common[] = {20, 0,    0,  0, 0,    0,  0, 0, 1,    'z', 'R', 0,
                                             1,  0x78, 16, 1, 0x1b, 12, 7, 8, 0x90, 1,   0,   0};
            int32_t entry[] = {20, 28, -(int32_t)(frames + 32), 8 * PAGE, (int32_t)(random() % 3)};
            memcpy(image + frames, common, sizeof common);
            memcpy(image + frames + 24, entry, sizeof entry);
            pairs[1] = pairs[3] = (int32_t)(frames + 24 - header);
            memcpy(image + header + 12, pairs, sizeof pairs);
            image[frames + (size_t)(random() % 40)] ^= (uint8_t)(random() % 4 ? 0 : random());
        }
        has_file = false;
        look();
        CHECK(target_objects(&all) == 1);
        found += cfi_shape(BASE + (uintptr_t)(random() % (4 * PAGE)), true, &shape);
    }
    CHECK(found > ROUNDS / 50 && found < ROUNDS);
}

int main(void) {
    static const struct target_source source = {.read = read_image, .mappings = visit_mappings, .open = open_image};
    file_fd = memfd_create("image", 0);
    target_use(&source, 1);
    RUN(an_object_is_found);
    RUN(nothing_is_mapped_or_copied_elsewhere);
    RUN(segments_in_another_order_are_refused);
    RUN(segments_beyond_all_addresses_are_refused);
    RUN(large_objects_are_mapped_but_not_copied);
    RUN(entries_are_read_inside_the_object_only);
    return test_end();
}
