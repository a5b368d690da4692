#include "inspect/core_files.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspect/regular_file.h"

enum { BEGINNING = 16384 };

static struct {
    const struct core_image *core;
    const char *root;
    struct core_file *files;
    size_t count;
    size_t *file_of; /* of each mapping */
} known;

/* ---- build ids --------------------------------------------------------------------------------------------------- */

static void put_hexadecimal(char *to, const uint8_t *bytes, size_t size) {
    size = size < CORE_ID / 2 ? size : CORE_ID / 2;
    for (size_t i = 0; i < size; i++) {
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* Finds the build id in the first bytes of an object. */
static void find_id(const uint8_t *bytes, size_t size, char *id) {
    Elf64_Ehdr header;
    id[0] = '\0';
    if (size < sizeof header || memcmp(bytes, ELFMAG, SELFMAG) != 0) {
        return;
    }
    memcpy(&header, bytes, sizeof header);
    for (size_t i = 0; i < header.e_phnum; i++) {
        Elf64_Phdr segment;
        Elf64_Nhdr note;
        if (header.e_phoff > size || (size - header.e_phoff) / sizeof segment <= i) {
            return;
        }
        memcpy(&segment, bytes + header.e_phoff + i * sizeof segment, sizeof segment);
        if (segment.p_type != PT_NOTE || segment.p_offset > size || segment.p_filesz > size - segment.p_offset) {
            continue;
        }
        const uint8_t *at = bytes + segment.p_offset;
        for (size_t left = segment.p_filesz; left >= sizeof note;) {
            memcpy(&note, at, sizeof note);
            size_t align = segment.p_align == 8 ? 7 : 3;
            size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
            size_t begin = (sizeof note + name + align) & ~align;
            size_t whole = (begin + note.n_descsz + align) & ~align;
            if (begin > left || note.n_descsz > left - begin) {
                break;
            }
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(at + sizeof note, "GNU", 4) == 0) {
                put_hexadecimal(id, at + begin, note.n_descsz);
                return;
            }
            whole = whole < left ? whole : left;
            at += whole;
            left -= whole;
        }
    }
}

/* Reads the first bytes of the file as they were in memory. Returns how many the core file has. */
static size_t read_beginning(const struct core_file *file, uint8_t *to, size_t size) {
    for (size_t i = 0; i < known.core->mapping_count; i++) {
        const struct core_mapping *mapping = &known.core->mappings[i];
        if (&known.files[known.file_of[i]] == file && mapping->offset == 0) {
            size_t span = mapping->end - mapping->start;
            return core_image_read(known.core, mapping->start, to, size < span ? size : span);
        }
    }
    return 0;
}

static void find_wanted_id(struct core_file *file) {
    static uint8_t memory[BEGINNING];
    find_id(memory, read_beginning(file, memory, sizeof memory), file->wanted);
}

/* Returns true if nothing speaks against the file: the same build id, or without one, the same program headers. */
static bool is_same(struct core_file *file) {
    static uint8_t memory[BEGINNING];
    Elf64_Ehdr header;
    size_t size = read_beginning(file, memory, sizeof memory);
    find_id(file->bytes, file->size, file->found);
    if (file->wanted[0]) {
        return strcmp(file->wanted, file->found) == 0;
    }
    if (size < sizeof header || memcmp(memory, ELFMAG, SELFMAG) != 0) {
        return true;
    }
    memcpy(&header, memory, sizeof header);
    size_t length = header.e_phnum * sizeof(Elf64_Phdr);
    return header.e_phoff > size || length > size - header.e_phoff || header.e_phoff > file->size ||
           length > file->size - header.e_phoff ||
           memcmp(memory + header.e_phoff, file->bytes + header.e_phoff, length) == 0;
}

/* ---- finding them ------------------------------------------------------------------------------------------------ */

/* A core file may name any file. Below a root, links lead to what they would there; but a folder of links to files that are
 * elsewhere may be given as one, too. */
static int open_at(const char *place) {
    size_t length = strlen(known.root);
    bool is_below = length && strncmp(place, known.root, length) == 0;
    int root = is_below ? open(known.root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int fd = regular_file_open_in(root, place + (is_below ? length : 0));
    return fd >= 0 ? fd : regular_file_open(open(place, O_PATH | O_CLOEXEC));
}

/* Maps the file at `place`, if it is an ELF object. */
static bool take(struct core_file *file, const char *place) {
    struct stat status;
    int fd = open_at(place);
    if (fd < 0) {
        return false;
    }
    void *bytes = MAP_FAILED;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > SELFMAG) {
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    close(fd);
    if (bytes == MAP_FAILED) {
        return false;
    }
    if (memcmp(bytes, ELFMAG, SELFMAG) != 0) {
        munmap(bytes, (size_t)status.st_size);
        return false;
    }
    free(file->place);
    file->place = strdup(place);
    file->bytes = bytes;
    file->size = (size_t)status.st_size;
    file->state = is_same(file) ? CORE_FILE_GOOD : CORE_FILE_REPLACED;
    if (file->state == CORE_FILE_REPLACED) {
        munmap(bytes, file->size);
        file->bytes = NULL;
    }
    return file->state == CORE_FILE_GOOD;
}

/* " (deleted)" is the kernel's: most likely another file is there now, which the build id tells. */
static void seek(struct core_file *file) {
    static const char deleted[] = " (deleted)";
    char place[8192];
    size_t length = strlen(file->path), tail = sizeof deleted - 1;
    length -= length > tail && strcmp(file->path + length - tail, deleted) == 0 ? tail : 0;
    file->state = CORE_FILE_MISSING;
    find_wanted_id(file);
    if (file->path[0] != '/' || length > 4095) {
        return;
    }
    snprintf(place, sizeof place, "%.4095s%.*s", known.root, (int)length, file->path);
    if (!take(file, place) && known.root[0]) {
        int begin = (int)length;
        while (file->path[begin - 1] != '/') {
            begin--;
        }
        snprintf(place, sizeof place, "%.4000s/%.*s", known.root, (int)length - begin, file->path + begin);
        take(file, place);
    }
}

static struct core_file *file_of(const struct core_mapping *mapping) {
    struct core_file *file = &known.files[known.file_of[mapping - known.core->mappings]];
    if (file->state == CORE_FILE_NOT_SOUGHT) {
        seek(file);
    }
    return file;
}

/* Mappings of one file follow each other, as a rule; it is no harm if a file is found twice. */
static bool list_files(const struct core_image *core) {
    known.files = calloc(core->mapping_count + 1, sizeof *known.files);
    known.file_of = calloc(core->mapping_count + 1, sizeof *known.file_of);
    if (!known.files || !known.file_of) {
        return false;
    }
    const struct core_mapping *program = core_image_mapping(core, core->program);
    for (size_t i = 0; i < core->mapping_count; i++) {
        const struct core_segment *segment = core_image_segment(core, core->mappings[i].start);
        size_t file = known.count;
        while (file > 0 && known.count - file < 8 && strcmp(known.files[file - 1].path, core->mappings[i].path) != 0) {
            file--;
        }
        if (file == 0 || strcmp(known.files[file - 1].path, core->mappings[i].path) != 0) {
            known.files[known.count].path = core->mappings[i].path;
            file = ++known.count;
        }
        known.file_of[i] = file - 1;
        known.files[file - 1].is_object |=
            segment && segment->is_executable && segment->stored < segment->end - segment->start;
        known.files[file - 1].is_program |= program ? program->path == core->mappings[i].path : i == 0;
    }
    return true;
}

bool core_files_use(const struct core_image *core, const char *program, const char *root, char *reason,
                    size_t capacity) {
    known.core = core;
    known.root = root ? root : "";
    if (!list_files(core)) {
        snprintf(reason, capacity, "not enough memory");
        return false;
    }
    for (size_t i = 0; program && i < known.count; i++) {
        struct core_file *file = &known.files[i];
        if (!file->is_program) {
            continue;
        }
        find_wanted_id(file);
        if (take(file, program)) {
            continue;
        }
        if (file->state == CORE_FILE_REPLACED) {
            snprintf(reason, capacity, "%s is not the program that the core file is of: its build id is %s, not %s",
                     program, file->found[0] ? file->found : "missing", file->wanted);
        } else {
            snprintf(reason, capacity, "%s: %s", program,
                     access(program, R_OK) != 0 ? strerror(errno) : "it is no ELF program");
        }
        return false;
    }
    return true;
}

/* ---- using them -------------------------------------------------------------------------------------------------- */

size_t core_files_read(const struct core_mapping *mapping, uintptr_t address, void *to, size_t size) {
    const struct core_file *file = file_of(mapping);
    uint64_t offset = mapping->offset + (address - mapping->start);
    if (file->state != CORE_FILE_GOOD || offset >= file->size) {
        return 0;
    }
    size = size < mapping->end - address ? size : mapping->end - address;
    size = size < file->size - offset ? size : file->size - offset;
    memcpy(to, file->bytes + offset, size);
    return size;
}

int core_files_open(const struct core_mapping *mapping) {
    const struct core_file *file = file_of(mapping);
    return file->state == CORE_FILE_GOOD && file->place ? open_at(file->place) : -1;
}

void core_files_visit_lost(void (*visit)(const struct core_file *file)) {
    for (size_t i = 0; i < known.count; i++) {
        struct core_file *file = &known.files[i];
        if (file->is_object && file->state == CORE_FILE_NOT_SOUGHT) {
            seek(file);
        }
        if (file->is_object && file->state != CORE_FILE_GOOD) {
            visit(file);
        }
    }
}
