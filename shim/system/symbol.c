#include "system/symbol.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/glimpse.h"
#include "system/thread.h"

/* ---- the .symtab of a file -------------------------------------------------------------------------------------- */

/* A file that ld.so has loaded, mapped again for the parts that ld.so does not load. */
struct file {
    const char *bytes;
    size_t size;
    const ElfW(Sym) *symbols;
    size_t symbol_count;
    const char *strings;
    size_t string_size;
};

static bool holds(const struct file *file, uint64_t offset, uint64_t size) {
    return offset <= file->size && size <= file->size - offset;
}

/* What ld.so has loaded from the file. */
struct loaded {
    const char *path; /* "": the executable */
    uintptr_t bias;
    uintptr_t headers; /* address of the program headers in memory, which may go away */
    size_t header_count;
};

/* Returns true if the file is the one that was loaded, not a later one of its name. Compares the program headers. */
static bool is_same(const struct file *file, const ElfW(Ehdr) *header, const struct loaded *loaded) {
    if (!holds(file, 0, sizeof *header) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_phnum != loaded->header_count || header->e_phentsize != sizeof(ElfW(Phdr)) ||
        !holds(file, header->e_phoff, loaded->header_count * sizeof(ElfW(Phdr)))) {
        return false;
    }
    for (size_t i = 0; i < loaded->header_count; i++) {
        ElfW(Phdr) one;
        size_t at = i * sizeof one;
        if (!thread_read_memory((const void *)(loaded->headers + at), &one, sizeof one) ||
            memcmp(file->bytes + header->e_phoff + at, &one, sizeof one) != 0) {
            return false;
        }
    }
    return true;
}

static bool find_symbols(struct file *file, const ElfW(Ehdr) *header) {
    if (header->e_shentsize != sizeof(ElfW(Shdr)) || header->e_shoff % _Alignof(ElfW(Shdr)) != 0 ||
        !holds(file, header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr)))) {
        return false;
    }
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(const void *)(file->bytes + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        const ElfW(Shdr) *table = &sections[i];
        if (table->sh_type != SHT_SYMTAB || table->sh_link >= header->e_shnum) {
            continue;
        }
        const ElfW(Shdr) *names = &sections[table->sh_link];
        if (!holds(file, table->sh_offset, table->sh_size) || !holds(file, names->sh_offset, names->sh_size) ||
            table->sh_offset % _Alignof(ElfW(Sym)) != 0 || names->sh_size == 0 ||
            file->bytes[names->sh_offset + names->sh_size - 1] != '\0') {
            return false;
        }
        file->symbols = (const ElfW(Sym) *)(const void *)(file->bytes + table->sh_offset);
        file->symbol_count = table->sh_size / sizeof(ElfW(Sym));
        file->strings = file->bytes + names->sh_offset;
        file->string_size = names->sh_size;
        return true;
    }
    return false;
}

static bool file_open(struct file *file, const struct loaded *loaded) {
    memset(file, 0, sizeof *file);
    int fd = open(loaded->path[0] ? loaded->path : "/proc/self/exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        file->bytes = bytes == MAP_FAILED ? NULL : bytes;
        file->size = (size_t)status.st_size;
    }
    close(fd);
    if (!file->bytes) {
        return false;
    }
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)file->bytes;
    if (is_same(file, header, loaded) && find_symbols(file, header)) {
        return true;
    }
    munmap((void *)file->bytes, file->size);
    return false;
}

/* `type`: STT_FUNC, STT_OBJECT. */
static const char *name_in_file(const struct file *file, const ElfW(Sym) *symbol, unsigned type) {
    bool is_wanted = (symbol->st_info & 0xf) == type && symbol->st_shndx != SHN_UNDEF;
    return is_wanted && symbol->st_name < file->string_size ? file->strings + symbol->st_name : NULL;
}

/* Like elf_function_at, but by the file's .symtab. Copies the name, because the file does not stay mapped. */
static bool hidden_symbol_at(const struct loaded *loaded, uintptr_t address, unsigned type, char *name, size_t capacity,
                             size_t *offset) {
    struct file file;
    bool is_found = false;
    if (!file_open(&file, loaded)) {
        return false;
    }
    for (size_t i = 0; i < file.symbol_count && !is_found; i++) {
        const char *candidate = name_in_file(&file, &file.symbols[i], type);
        uintptr_t distance = address - loaded->bias - file.symbols[i].st_value;
        if (candidate && candidate[0] && distance < file.symbols[i].st_size) {
            struct text text = text_start(name, capacity);
            text_add(&text, candidate);
            text_end(&text);
            *offset = distance;
            is_found = true;
        }
    }
    munmap((void *)file.bytes, file.size);
    return is_found;
}

void *symbol_find_hidden(const struct elf_object *object, const char *name) {
    struct file file;
    void *found = NULL;
    struct loaded loaded = {object->name, object->bias, (uintptr_t)object->segments, object->segment_count};
    if (!file_open(&file, &loaded)) {
        return NULL;
    }
    for (size_t i = 0; i < file.symbol_count && !found; i++) {
        const char *candidate = name_in_file(&file, &file.symbols[i], STT_FUNC);
        if (candidate && strcmp(candidate, name) == 0) {
            found = (void *)(object->bias + file.symbols[i].st_value);
        }
    }
    munmap((void *)file.bytes, file.size);
    return found;
}

/* ---- C++ names -------------------------------------------------------------------------------------------------- */

/* Adds the <source-name> at *c ("3bar"), or the name that a constructor, a destructor or operator() has, and moves *c
 * past it. Returns false if there is none of these. `last` holds the last <source-name>: the class of a constructor. */
static bool add_component(struct text *text, const char **c, struct text *last) {
    const char *at = *c;
    size_t length = 0;
    if (*at >= '1' && *at <= '9') {
        for (; *at >= '0' && *at <= '9'; at++) {
            length = length < 10000 ? length * 10 + (size_t)(*at - '0') : length;
        }
        if (strnlen(at, length) < length) {
            return false;
        }
        last->length = 0;
        text_add_span(last, at, length);
        if (length == 12 && memcmp(at, "_GLOBAL__N_1", 12) == 0) {
            text_add(text, "(anonymous)");
        } else {
            text_add_span(text, at, length);
        }
        *c = at + length;
        return true;
    }
    if (last->length && (at[0] == 'C' || at[0] == 'D') && at[1] >= '0' && at[1] <= '5') {
        text_add(text, at[0] == 'D' ? "~" : "");
        text_add_span(text, last->buffer, last->length < last->capacity ? last->length : last->capacity);
        *c = at + 2;
        return true;
    }
    if (at[0] == 'c' && at[1] == 'l') {
        text_add(text, "operator()");
        *c = at + 2;
        return true;
    }
    return false;
}

void symbol_add_demangled(struct text *text, const char *name) {
    size_t start = text->length;
    char class_name[64];
    struct text last = text_start(class_name, sizeof class_name);
    const char *c = name;
    if (c[0] != '_' || c[1] != 'Z') {
        text_add(text, name);
        return;
    }
    c += 2;
    bool is_nested = *c == 'N';
    c += is_nested;
    while (is_nested && (*c == 'K' || *c == 'V' || *c == 'R' || *c == 'O')) {
        c++; /* of a const, volatile, & or && member function */
    }
    unsigned count = 0;
    if (c[0] == 'S' && c[1] == 't') {
        text_add(text, "std");
        c += 2;
        count++;
    }
    do {
        size_t before = text->length;
        if (count) {
            text_add(text, "::");
        }
        c += *c == 'L'; /* internal linkage */
        if (!add_component(text, &c, &last)) {
            text->length = before;
            break;
        }
        count++;
    } while (is_nested);
    bool is_understood = count && (!is_nested || *c == 'E' || *c == 'I');
    if (!is_understood) {
        text->length = start;
        text_add(text, name);
    } else if (*c == 'I') {
        text_add(text, "<...>");
    }
}

/* ---- addresses -------------------------------------------------------------------------------------------------- */

static void add_object_name(struct text *text, const struct glimpse *object) {
    const char *slash = strrchr(object->name, '/');
    text_add(text, object->name[0] ? (slash ? slash + 1 : object->name) : program_invocation_short_name);
}

void symbol_add_object(struct text *text, const void *address) {
    struct glimpse object;
    if (address && glimpse_take(&object, (const char *)address - 1)) {
        add_object_name(text, &object);
    } else {
        text_add(text, "?");
    }
}

/* Returns where the path below the last site-packages or dist-packages folder begins. Returns NULL if there is no such
 * folder, or if the name of the file has the package's name in it. */
static const char *path_in_package(const char *path) {
    static const char *const folders[] = {"/site-packages/", "/dist-packages/"};
    const char *slash = strrchr(path, '/'), *inside = NULL;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        for (const char *at = path; (at = strstr(at, folders[i]));) {
            at += strlen(folders[i]);
            inside = at > inside ? at : inside;
        }
    }
    size_t length = inside ? strcspn(inside, "/.") : 0;
    if (!inside || inside >= slash + 1 || length == 0 || memmem(slash, strlen(slash), inside, length)) {
        return NULL;
    }
    return inside;
}

void symbol_add_library(struct text *text, const void *address) {
    struct glimpse object;
    bool is_known = address && glimpse_take(&object, (const char *)address - 1);
    const char *path = is_known ? path_in_package(object.name) : NULL;
    if (path) {
        text_add(text, path);
    } else if (is_known) {
        add_object_name(text, &object);
    } else {
        text_add(text, "?");
    }
}

static bool find_function(const struct glimpse *object, const void *call, char *name, size_t capacity, size_t *offset) {
    struct loaded loaded = {object->name, object->bias, object->headers, object->header_count};
    return glimpse_function_at(object, call, name, capacity, offset) ||
           hidden_symbol_at(&loaded, (uintptr_t)call, STT_FUNC, name, capacity, offset);
}

void symbol_add(struct text *text, const void *address) {
    struct glimpse object;
    const char *call = address ? (const char *)address - 1 : NULL;
    if (!call || !glimpse_take(&object, call)) {
        text_add_hex(text, (uintptr_t)address);
        return;
    }
    add_object_name(text, &object);
    text_add(text, "!");
    char function[1024];
    size_t offset = 0;
    if (find_function(&object, call, function, sizeof function, &offset)) {
        symbol_add_demangled(text, function);
        text_add(text, "+");
        text_add_hex(text, offset + 1);
    } else {
        text_add(text, "+");
        text_add_hex(text, (uintptr_t)address - object.bias);
    }
}

/* Adds the name of a variable. The guard of a static local variable, _ZGVZ<function>E<variable>, is known by its
 * function. */
static void add_variable(struct text *text, char *name) {
    static const char guard[] = "_ZGVZ";
    if (strncmp(name, guard, sizeof guard - 1) == 0) {
        name[sizeof guard - 3] = '_'; /* _Z<function>..., from the V on */
        symbol_add_demangled(text, name + sizeof guard - 3);
        text_add(text, ", static variable");
    } else {
        symbol_add_demangled(text, name);
    }
}

bool symbol_add_data(struct text *text, const void *address) {
    struct glimpse object;
    if (!glimpse_take(&object, address)) {
        return false;
    }
    struct loaded loaded = {object.name, object.bias, object.headers, object.header_count};
    char name[512];
    size_t offset = 0;
    add_object_name(text, &object);
    if (glimpse_symbol_at(&object, address, STT_OBJECT, name, sizeof name, &offset) ||
        hidden_symbol_at(&loaded, (uintptr_t)address, STT_OBJECT, name, sizeof name, &offset)) {
        text_add(text, "!");
        add_variable(text, name);
        if (offset) {
            text_add(text, "+");
            text_add_hex(text, offset);
        }
    }
    return true;
}

bool symbol_is(const void *address, const char *name) {
    struct glimpse object;
    char function[256];
    size_t offset;
    const char *call = address ? (const char *)address - 1 : NULL;
    return call && glimpse_take(&object, call) &&
           glimpse_function_at(&object, call, function, sizeof function, &offset) && strcmp(function, name) == 0;
}
