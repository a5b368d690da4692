#include "inspect/mirror.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file costs only addresses: libraries of several GiB exist. What is copied, page by page, is limited, for one object and for
 * all together. */
enum { COPY_MAX = 64 << 20, COPIES_MAX = 256 << 20 };
static const size_t span_max = (size_t)1 << 36;
static size_t copied;

static uintptr_t page_size(void) {
    return (uintptr_t)sysconf(_SC_PAGESIZE);
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static bool map_file(int fd, struct symtab *file) {
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
        return false;
    }
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    file->bytes = bytes == MAP_FAILED ? NULL : bytes;
    file->size = (size_t)status.st_size;
    return file->bytes != NULL;
}

/* Returns true if the target has the same bytes in memory as the file at the segment's beginning. */
static bool has_same_bytes(const struct target_object *object, const ElfW(Phdr) *segment) {
    char loaded[4096];
    size_t size = segment->p_filesz < sizeof loaded ? segment->p_filesz : sizeof loaded;
    return !size || (target_read(object->elf.bias + segment->p_vaddr, loaded, size) &&
                     memcmp(object->file.bytes + segment->p_offset, loaded, size) == 0);
}

static bool is_the_loaded_file(const struct target_object *object) {
    const struct elf_object *elf = &object->elf;
    const char *headers = symtab_headers(&object->file, elf->segment_count);
    if (!headers || memcmp(headers, elf->segments, elf->segment_count * sizeof *elf->segments) != 0) {
        return false;
    }
    for (size_t i = 0; i < elf->segment_count; i++) {
        const ElfW(Phdr) *segment = &elf->segments[i];
        if (segment->p_type == PT_NULL || !segment->p_filesz) {
            continue;
        }
        if (segment->p_offset > object->file.size || segment->p_filesz > object->file.size - segment->p_offset) {
            return false; /* the file has become shorter: reading there would be fatal */
        }
        if ((segment->p_type == PT_NOTE || segment->p_type == PT_GNU_EH_FRAME) && !has_same_bytes(object, segment)) {
            return false;
        }
    }
    return true;
}

/* ---- the mirror ------------------------------------------------------------------------------------------------- */

/* Returns true if the segment is loaded, and lies in the object: whatever lies beyond would be written over something of
 * this program's. objects.c refuses such objects; the headers are the target's, so it is asked again where it matters. */
static bool is_loaded_inside(const struct target_object *object, const ElfW(Phdr) *segment) {
    uintptr_t span = object->end - object->start;
    uintptr_t place = object->elf.bias + segment->p_vaddr - object->start;
    return segment->p_type == PT_LOAD && place < span && segment->p_memsz <= span - place &&
           segment->p_filesz <= segment->p_memsz;
}

static bool map_segments(const struct target_object *object, char *mirror, int fd) {
    uintptr_t page = page_size();
    for (size_t i = 0; i < object->elf.segment_count; i++) {
        const ElfW(Phdr) *segment = &object->elf.segments[i];
        if (segment->p_type != PT_LOAD || !segment->p_filesz) {
            continue;
        }
        uintptr_t place = object->elf.bias + segment->p_vaddr - object->start;
        uintptr_t inside = segment->p_vaddr % page;
        char *at = mirror + place;
        if (!is_loaded_inside(object, segment) || place < inside || segment->p_offset % page != inside ||
            mmap(at - inside, segment->p_filesz + inside, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd,
                 (off_t)(segment->p_offset - inside)) == MAP_FAILED) {
            return false;
        }
    }
    return true;
}

/* ld.so has added the bias to the addresses in the dynamic section in place. Here they would be taken for addresses of
 * this process. */
static void take_bias_off(const struct target_object *object, char *mirror) {
    for (size_t i = 0; i < object->elf.segment_count; i++) {
        const ElfW(Phdr) *segment = &object->elf.segments[i];
        uintptr_t place = object->elf.bias + segment->p_vaddr;
        uintptr_t span = object->end - object->start;
        if (segment->p_type != PT_DYNAMIC || place - object->start >= span ||
            segment->p_memsz > span - (place - object->start) || place % _Alignof(ElfW(Dyn)) != 0) {
            continue;
        }
        ElfW(Dyn) *entry = (ElfW(Dyn) *)(void *)(mirror + (place - object->start));
        for (size_t n = segment->p_memsz / sizeof *entry; n && entry->d_tag != DT_NULL; n--, entry++) {
            if (entry->d_un.d_ptr - object->start < object->end - object->start) {
                entry->d_un.d_ptr -= object->elf.bias;
            }
        }
    }
}

/* Pages that can't be read stay as they are, zero. */
static void copy_segments(const struct target_object *object, char *mirror) {
    uintptr_t page = page_size();
    for (size_t i = 0; i < object->elf.segment_count; i++) {
        const ElfW(Phdr) *segment = &object->elf.segments[i];
        uintptr_t at = object->elf.bias + segment->p_vaddr;
        uintptr_t end = is_loaded_inside(object, segment) ? at + segment->p_memsz : at;
        for (uintptr_t next; at < end; at = next) {
            next = (at & -page) + page;
            next = next < end ? next : end;
            target_read(at, mirror + (at - object->start), next - at);
        }
    }
    take_bias_off(object, mirror);
}

/* Reads the object's tables through the mirror, and gives it the target's addresses again. */
static void open_mirror(struct target_object *object, const char *mirror) {
    struct dl_phdr_info info;
    uintptr_t bias = object->elf.bias;
    memset(&info, 0, sizeof info);
    object->distance = (uintptr_t)mirror - object->start;
    info.dlpi_addr = bias + object->distance;
    info.dlpi_name = object->elf.name;
    info.dlpi_phdr = object->elf.segments;
    info.dlpi_phnum = (ElfW(Half))object->elf.segment_count;
    elf_open(&object->elf, &info);
    object->elf.bias = bias;
}

static bool may_copy(size_t span) {
    return span <= COPY_MAX && span <= COPIES_MAX - copied;
}

/* Only its place and name are known. Without segments, nobody looks into it. */
static void leave_empty(struct target_object *object) {
    object->elf.segment_count = 0;
    object->distance = 0;
}

bool mirror_make(struct target_object *object, const struct target_mapping *mapping) {
    size_t span = object->end - object->start;
    if (span > span_max) {
        return false;
    }
    char *mirror = mmap(NULL, span, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mirror == MAP_FAILED) {
        return false;
    }
    int fd = mapping->is_file ? target_source()->open(mapping) : -1;
    bool is_mapped =
        fd >= 0 && map_file(fd, &object->file) && is_the_loaded_file(object) && map_segments(object, mirror, fd);
    if (fd >= 0) {
        close(fd);
    }
    if (is_mapped) {
        symtab_open(&object->file);
    } else {
        if (object->file.bytes) {
            munmap((void *)object->file.bytes, object->file.size);
        }
        memset(&object->file, 0, sizeof object->file);
        if (!may_copy(span) || mmap(mirror, span, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
            munmap(mirror, span);
            leave_empty(object);
            return true;
        }
        copied += span;
        copy_segments(object, mirror);
    }
    open_mirror(object, mirror);
    return true;
}

void mirror_free(struct target_object *object) {
    if (!object->distance) {
        return;
    }
    copied -= object->file.bytes ? 0 : object->end - object->start;
    munmap((void *)(object->start + object->distance), object->end - object->start);
    if (object->file.bytes) {
        munmap((void *)object->file.bytes, object->file.size);
    }
}
