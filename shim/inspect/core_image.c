#include "inspect/core_image.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/core_notes.h"
#include "inspect/refusal.h"

/* ---- what kind of file it is ------------------------------------------------------------------------------------- */

/* Returns the program that unpacks it, or NULL if it is not packed. */
static const char *unpacker_of(const uint8_t *bytes, size_t size) {
    static const struct {
        const char *magic;
        size_t size;
        const char *program;
    } kinds[] = {{"\x28\xb5\x2f\xfd", 4, "zstd -d"}, {"\x1f\x8b", 2, "gzip -d"}, {"\xfd\x37zXZ", 5, "xz -d"},
                 {"\x04\x22\x4d\x18", 4, "lz4 -d"},  {"LZ4\x00", 3, "lz4 -d"},   {"BZh", 3, "bzip2 -d"},
                 {"\x89LZO", 4, "lzop -d"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (size >= kinds[i].size && memcmp(bytes, kinds[i].magic, kinds[i].size) == 0) {
            return kinds[i].program;
        }
    }
    return NULL;
}

/* Maps the file. */
static bool map(struct core_image *core, const char *path, char *reason, size_t capacity) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return refuse(reason, capacity, "%s: %s", path, strerror(errno));
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return refuse(reason, capacity, "%s is no core file: it is no regular file", path);
    }
    void *bytes = status.st_size > 0 ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    close(fd);
    if (bytes == MAP_FAILED) {
        return status.st_size > 0 ? refuse(reason, capacity, "%s: %s", path, strerror(errno))
                                  : refuse(reason, capacity, "%s is no core file: it is empty", path);
    }
    core->bytes = bytes;
    core->size = (size_t)status.st_size;
    return true;
}

static bool check(const struct core_image *core, Elf64_Ehdr *header, const char *path, char *reason, size_t capacity) {
#if defined(__x86_64__)
    enum { MACHINE = EM_X86_64 };
    static const char machine[] = "x86-64";
#else
    enum { MACHINE = EM_AARCH64 };
    static const char machine[] = "AArch64";
#endif
    const char *unpacker = unpacker_of(core->bytes, core->size);
    if (unpacker) {
        return refuse(reason, capacity,
                      "%s is compressed: unpack it first (%s), or, if systemd keeps it, coredumpctl dump -o FILE PID",
                      path, unpacker);
    }
    if (core->size < SELFMAG || memcmp(core->bytes, ELFMAG, SELFMAG) != 0) {
        return refuse(reason, capacity, "%s is no core file", path);
    }
    if (core->size < sizeof *header) {
        return refuse(reason, capacity, "%s is no core file, or only the beginning of one", path);
    }
    memcpy(header, core->bytes, sizeof *header);
    if (header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_type > ET_CORE) {
        return refuse(reason, capacity, "%s is of another kind of machine; this is for %s", path, machine);
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64) {
        return refuse(reason, capacity, "%s is of a 32-bit process; this is for 64-bit processes", path);
    }
    if (header->e_type != ET_CORE) {
        return refuse(reason, capacity, "%s is no core file: it is a program or a library", path);
    }
    if (header->e_machine != MACHINE) {
        return refuse(reason, capacity, "%s is of another kind of machine (ELF machine %u); this is for %s", path,
                      (unsigned)header->e_machine, machine);
    }
    return true;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

enum { SEGMENTS_MAX = 1 << 20 };

/* Returns how many program headers there are. More than fit into e_phnum are counted in the first section header. */
static size_t count_headers(const struct core_image *core, const Elf64_Ehdr *header) {
    Elf64_Shdr section;
    if (header->e_phnum != PN_XNUM) {
        return header->e_phnum;
    }
    if (header->e_shoff > core->size || core->size - header->e_shoff < sizeof section) {
        return 0;
    }
    memcpy(&section, core->bytes + header->e_shoff, sizeof section);
    return section.sh_info;
}

/* Returns how many of the bytes that the header speaks of are in the file. */
static size_t stored_of(struct core_image *core, const Elf64_Phdr *segment) {
    size_t there = segment->p_offset < core->size ? core->size - segment->p_offset : 0;
    if (segment->p_filesz <= there) {
        return segment->p_filesz;
    }
    core->missing += segment->p_filesz - there < SIZE_MAX - core->missing ? segment->p_filesz - there : 0;
    return there;
}

static int compare_segments(const void *one, const void *other) {
    const struct core_segment *a = one, *b = other;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* Leaves out segments that overlap the one before. */
static void sort_segments(struct core_image *core) {
    size_t kept = 0;
    qsort(core->segments, core->segment_count, sizeof *core->segments, compare_segments);
    for (size_t i = 0; i < core->segment_count; i++) {
        if (!kept || core->segments[i].start >= core->segments[kept - 1].end) {
            core->segments[kept++] = core->segments[i];
        }
    }
    core->segment_count = kept;
}

/* Reads the program headers, and the notes. Returns false if the headers are not all there. */
static bool read_headers(struct core_image *core, const Elf64_Ehdr *header) {
    size_t count = count_headers(core, header);
    if (header->e_phentsize != sizeof(Elf64_Phdr) || !count || count > SEGMENTS_MAX || header->e_phoff > core->size ||
        count > (core->size - header->e_phoff) / sizeof(Elf64_Phdr)) {
        return false;
    }
    core->segments = calloc(count, sizeof *core->segments);
    for (size_t i = 0; core->segments && i < count; i++) {
        Elf64_Phdr segment;
        memcpy(&segment, core->bytes + header->e_phoff + i * sizeof segment, sizeof segment);
        size_t stored = segment.p_filesz ? stored_of(core, &segment) : 0;
        const uint8_t *bytes = core->bytes + (stored ? segment.p_offset : 0);
        if (segment.p_type == PT_NOTE) {
            core_notes_read(core, bytes, stored);
        } else if (segment.p_type == PT_LOAD && segment.p_memsz &&
                   segment.p_vaddr + segment.p_memsz > segment.p_vaddr) {
            core->segments[core->segment_count++] = (struct core_segment){
                .start = segment.p_vaddr,
                .end = segment.p_vaddr + segment.p_memsz,
                .bytes = bytes,
                .stored = stored < segment.p_memsz ? stored : segment.p_memsz,
                .said = segment.p_filesz < segment.p_memsz ? segment.p_filesz : segment.p_memsz,
                .is_executable = segment.p_flags & PF_X,
            };
        }
    }
    if (core->segments) {
        sort_segments(core);
    }
    core_notes_sort(core);
    return true;
}

bool core_image_open(struct core_image *core, const char *path, char *reason, size_t capacity) {
    Elf64_Ehdr header = {0};
    memset(core, 0, sizeof *core);
    if (!map(core, path, reason, capacity) || !check(core, &header, path, reason, capacity)) {
        return false;
    }
    if (!read_headers(core, &header)) {
        return refuse(reason, capacity, "%s is truncated or damaged: its headers are not all there", path);
    }
    if (!core->thread_count) {
        return refuse(reason, capacity,
                      core->missing ? "%s is truncated: what it says of threads is not there"
                                    : "%s says nothing of threads: it is damaged, or no core file of a process",
                      path);
    }
    core->pid = core->pid ? core->pid : core->threads[0].tid;
    return true;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

const struct core_segment *core_image_segment(const struct core_image *core, uintptr_t address) {
    size_t first = 0, behind = core->segment_count;
    while (behind > first) {
        size_t middle = first + (behind - first) / 2;
        if (address < core->segments[middle].start) {
            behind = middle;
        } else if (address >= core->segments[middle].end) {
            first = middle + 1;
        } else {
            return &core->segments[middle];
        }
    }
    return NULL;
}

const struct core_mapping *core_image_mapping(const struct core_image *core, uintptr_t address) {
    size_t first = 0, behind = core->mapping_count;
    while (behind > first) {
        size_t middle = first + (behind - first) / 2;
        if (address < core->mappings[middle].start) {
            behind = middle;
        } else if (address >= core->mappings[middle].end) {
            first = middle + 1;
        } else {
            return &core->mappings[middle];
        }
    }
    return NULL;
}

const struct core_thread *core_image_thread(const struct core_image *core, pid_t tid) {
    for (size_t i = 0; i < core->thread_count; i++) {
        if (core->threads[i].tid == tid) {
            return &core->threads[i];
        }
    }
    return NULL;
}

size_t core_image_read(const struct core_image *core, uintptr_t address, void *to, size_t size) {
    size_t done = 0;
    while (done < size) {
        const struct core_segment *segment = core_image_segment(core, address + done);
        size_t inside = segment ? address + done - segment->start : 0;
        if (!segment || inside >= segment->stored) {
            break;
        }
        size_t piece = segment->stored - inside < size - done ? segment->stored - inside : size - done;
        memcpy((char *)to + done, segment->bytes + inside, piece);
        done += piece;
    }
    return done;
}
