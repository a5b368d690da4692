#include "inspect/objects.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect/mirror.h"

enum { OBJECTS_MAX = 4096, SEGMENTS_MAX = 128, MAPS_MAX = 8192 };

static struct target_object *objects;
static size_t object_count, object_capacity;

/* ---- finding them ------------------------------------------------------------------------------------------------ */

/* The mappings, with their names copied. */
static struct target_mapping *mappings;
static size_t mapping_count, mapping_capacity;

static bool may_be_object(const struct target_mapping *mapping) {
    return mapping->is_file || strcmp(mapping->name, "[vdso]") == 0;
}

static void keep_mapping(const struct target_mapping *mapping) {
    if (!may_be_object(mapping)) {
        return;
    }
    if (mapping_count == mapping_capacity) {
        size_t capacity = mapping_capacity ? 2 * mapping_capacity : 256;
        struct target_mapping *more = realloc(mappings, capacity * sizeof *more);
        if (!more) {
            return;
        }
        mappings = more;
        mapping_capacity = capacity;
    }
    char *name = strdup(mapping->name);
    if (name) {
        mappings[mapping_count] = *mapping;
        mappings[mapping_count++].name = name;
    }
}

/* Returns where a part of the file is in memory, or 0. patchelf moves the program headers to the file's end. */
static uintptr_t address_of(const struct target_mapping *file, uint64_t offset, size_t size) {
    for (size_t i = (size_t)(file - mappings); i < mapping_count; i++) {
        const struct target_mapping *mapping = &mappings[i];
        uint64_t inside = offset - mapping->offset, length = mapping->end - mapping->start;
        if (strcmp(mapping->name, file->name) == 0 && offset >= mapping->offset && inside <= length &&
            size <= length - inside) {
            return mapping->start + (offset - mapping->offset);
        }
    }
    return 0;
}

/* Returns true if the file's code is mapped where a loader would have put it. A tool that only reads an object maps it
 * otherwise. */
static bool has_code_mapped(const struct target_object *object, const struct target_mapping *file) {
    for (size_t s = 0; s < object->elf.segment_count; s++) {
        const ElfW(Phdr) *segment = &object->elf.segments[s];
        uintptr_t address = object->elf.bias + segment->p_vaddr;
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X)) {
            continue;
        }
        for (size_t i = 0; i < mapping_count; i++) {
            if (mappings[i].is_executable && address >= mappings[i].start && address < mappings[i].end &&
                strcmp(mappings[i].name, file->name) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Finds from where to where the segments reach, before the bias is added. Returns false for what no loader would have
 * loaded: they are in ascending order (as glibc demands, too), and none is beyond the end of the address space. */
static bool find_span(const ElfW(Phdr) *segments, size_t count, uintptr_t *low, uintptr_t *high) {
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE), before = 0;
    *low = *high = 0;
    for (size_t i = 0; i < count; i++) {
        const ElfW(Phdr) *segment = &segments[i];
        if (segment->p_type != PT_LOAD || !segment->p_memsz) {
            continue;
        }
        uintptr_t end = segment->p_vaddr + segment->p_memsz;
        if (end < segment->p_vaddr || segment->p_filesz > segment->p_memsz || segment->p_vaddr < before) {
            return false;
        }
        *low = *high ? *low : segment->p_vaddr & -page_size;
        *high = end > *high ? end : *high;
        before = segment->p_vaddr;
    }
    return *high > *low;
}

/* Reads the program headers, and where they say the object lies. */
static bool read_headers(struct target_object *object, const struct target_mapping *file) {
    ElfW(Ehdr) header;
    if (file->offset != 0 || !target_read(file->start, &header, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        (header.e_type != ET_DYN && header.e_type != ET_EXEC) || header.e_phentsize != sizeof(ElfW(Phdr)) ||
        header.e_phnum == 0 || header.e_phnum > SEGMENTS_MAX) {
        return false;
    }
    size_t size = header.e_phnum * sizeof(ElfW(Phdr));
    uintptr_t place = address_of(file, header.e_phoff, size);
    ElfW(Phdr) *segments = place ? malloc(size) : NULL;
    if (!segments || !target_read(place, segments, size)) {
        free(segments);
        return false;
    }
    uintptr_t low, high;
    if (!find_span(segments, header.e_phnum, &low, &high)) {
        free(segments);
        return false;
    }
    object->start = file->start;
    object->end = file->start + (high - low);
    object->elf.bias = file->start - low;
    object->elf.segments = segments;
    object->elf.segment_count = header.e_phnum;
    object->elf.name = object->path = file->name;
    if (object->end <= object->start || !has_code_mapped(object, file)) {
        free(segments);
        return false;
    }
    return true;
}

static void add_object(const struct target_mapping *file) {
    struct target_object object;
    memset(&object, 0, sizeof object);
    if (object_count == OBJECTS_MAX || !read_headers(&object, file) || !mirror_make(&object, file)) {
        return;
    }
    if (object_count == object_capacity) {
        size_t capacity = object_capacity ? 2 * object_capacity : 128;
        struct target_object *more = realloc(objects, capacity * sizeof *more);
        if (!more) {
            return;
        }
        objects = more;
        object_capacity = capacity;
    }
    objects[object_count++] = object;
}

/* ---- what ld.so calls them --------------------------------------------------------------------------------------- */

static void name_object(const struct link_map *map, bool is_first) {
    char name[4096];
    for (size_t i = 0; i < object_count; i++) {
        struct target_object *object = &objects[i];
        if (object->elf.bias != map->l_addr || (uintptr_t)map->l_ld - object->start >= object->end - object->start) {
            continue;
        }
        bool has_name = target_read_string((uintptr_t)map->l_name, name, sizeof name) && name[0];
        const char *copy = has_name ? strdup(name) : "";
        if (copy && (has_name || is_first)) {
            object->elf.name = copy; /* the executable's is empty */
        }
        return;
    }
}

/* Walks ld.so's list, the one that debuggers read. */
static void read_names(void) {
    const struct target_object *loader = NULL;
    uintptr_t place = 0;
    for (size_t i = 0; objects && i < object_count && !loader; i++) {
        const ElfW(Sym) *symbol = elf_find_export(&objects[i].elf, "_r_debug");
        loader = symbol ? &objects[i] : NULL;
        place = symbol ? objects[i].elf.bias + symbol->st_value : 0;
    }
    struct r_debug list;
    struct link_map map;
    if (!loader || !target_read(place, &list, sizeof list)) {
        return;
    }
    uintptr_t at = (uintptr_t)list.r_map;
    for (int n = 0; n < MAPS_MAX && at && target_read(at, &map, sizeof map); n++) {
        name_object(&map, n == 0);
        at = (uintptr_t)map.l_next;
    }
}

static void forget_all(void) {
    for (size_t i = 0; i < object_count; i++) {
        mirror_free(&objects[i]);
        free((void *)objects[i].elf.segments);
        if (objects[i].elf.name[0] && objects[i].elf.name != objects[i].path) {
            free((void *)objects[i].elf.name);
        }
    }
    for (size_t i = 0; i < mapping_count; i++) {
        free((void *)mappings[i].name);
    }
    object_count = mapping_count = 0;
}

static int compare(const void *one, const void *other) {
    const struct target_object *a = one, *b = other;
    return a->start < b->start ? -1 : a->start > b->start;
}

void objects_find(void) {
    forget_all();
    target_source()->mappings(keep_mapping);
    for (size_t i = 0; i < mapping_count; i++) {
        add_object(&mappings[i]);
    }
    if (object_count) {
        qsort(objects, object_count, sizeof *objects, compare);
    }
    read_names();
}

/* How many mappings are as they were, of how many. */
static size_t compared, unchanged;

/* Both are in address order. Data files come and go, code does not. */
static void compare_mapping(const struct target_mapping *mapping) {
    if (!may_be_object(mapping) || !mapping->is_executable) {
        return;
    }
    size_t first = 0, behind = mapping_count;
    while (behind > first) {
        size_t middle = first + (behind - first) / 2;
        if (mappings[middle].start <= mapping->start) {
            first = middle + 1;
        } else {
            behind = middle;
        }
    }
    compared++;
    unchanged += first > 0 && mappings[first - 1].start == mapping->start &&
                 strcmp(mappings[first - 1].name, mapping->name) == 0;
}

bool objects_have_changed(void) {
    size_t executable = 0;
    compared = unchanged = 0;
    target_source()->mappings(compare_mapping);
    for (size_t i = 0; i < mapping_count; i++) {
        executable += mappings[i].is_executable;
    }
    return compared != unchanged || compared != executable;
}

/* ---- asking for them --------------------------------------------------------------------------------------------- */

size_t target_objects(const struct target_object **all) {
    *all = objects;
    return object_count;
}

const struct target_object *objects_at(uintptr_t address) {
    size_t first = 0, behind = object_count;
    while (behind > first) {
        size_t middle = first + (behind - first) / 2;
        if (address < objects[middle].start) {
            behind = middle;
        } else if (address >= objects[middle].end) {
            first = middle + 1;
        } else {
            return &objects[middle];
        }
    }
    return NULL;
}

const struct target_object *objects_named(const char *name) {
    for (size_t i = 0; i < object_count; i++) {
        const char *slash = strrchr(objects[i].elf.name, '/');
        if (strcmp(slash ? slash + 1 : objects[i].elf.name, name) == 0) {
            return &objects[i];
        }
    }
    return NULL;
}

const struct target_object *objects_executable(void) {
    for (size_t i = 0; i < object_count; i++) {
        if (!objects[i].elf.name[0]) {
            return &objects[i];
        }
    }
    return NULL;
}

/* Names that are not exported are sought in CPython and in the shim only: in the executable (the first object, if ld.so has not
 * told), and where the file's name or what it exports says so. Other libraries may have 100 MB of symbols. */
static bool has_names_to_seek(const struct target_object *object) {
    const char *slash = strrchr(object->path, '/'), *name = slash ? slash : object->path;
    return object == objects || !object->elf.name[0] || strstr(name, "python") || strstr(name, "libgilshim.so") ||
           elf_find_export(&object->elf, "PyEval_RestoreThread");
}

bool target_symbol(const struct target_object *object, const char *name, uintptr_t *address, size_t *size) {
    const ElfW(Sym) *symbol = elf_find_export(&object->elf, name);
    if (!symbol && object->file.symbols && has_names_to_seek(object)) {
        symbol = symtab_find(&object->file, name, STT_FUNC);
        symbol = symbol ? symbol : symtab_find(&object->file, name, STT_OBJECT);
    }
    if (!symbol) {
        return false;
    }
    *address = object->elf.bias + symbol->st_value;
    if (size) {
        *size = symbol->st_size;
    }
    return true;
}

/* Names that are this program's own in the shared files are the target's: what its main program is called. */
void objects_take_program_name(void) {
    static char name[NAME_MAX + 1];
    const struct target_object *libc = objects_named("libc.so.6"), *executable = objects_executable();
    uintptr_t place, string;
    if (!libc || !target_symbol(libc, "program_invocation_short_name", &place, NULL) ||
        !target_read(place, &string, sizeof string) || !target_read_string(string, name, sizeof name) || !name[0]) {
        const char *slash = executable ? strrchr(executable->path, '/') : NULL;
        snprintf(name, sizeof name, "%s", slash ? slash + 1 : "?");
    }
    program_invocation_short_name = name;
}

/* ---- system/elf.h ------------------------------------------------------------------------------------------------ */

bool elf_find_by_address(const void *address, struct elf_object *object) {
    const struct target_object *found = objects_at((uintptr_t)address);
    memset(object, 0, sizeof *object);
    if (found) {
        *object = found->elf;
    }
    return found != NULL;
}

bool elf_visit(bool (*visit)(const struct elf_object *object, void *argument), void *argument) {
    for (size_t i = 0; i < object_count; i++) {
        if (visit(&objects[i].elf, argument)) {
            return true;
        }
    }
    return false;
}

/* Each object has its headers here in memory of its own. */
uintptr_t elf_mirror_distance(const struct elf_object *object) {
    const struct target_object *found = objects_at((uintptr_t)object->bias + object->segments[0].p_vaddr);
    for (size_t i = 0; (!found || found->elf.segments != object->segments) && i < object_count; i++) {
        found = &objects[i];
    }
    return found && found->elf.segments == object->segments ? found->distance : 0;
}
