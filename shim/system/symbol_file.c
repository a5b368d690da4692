/* The files of this process's objects. gilshim-inspect has another implementation (inspect/objects.c), which keeps them
 * open. */
#include "system/symbol_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "system/symbol.h"
#include "system/symtab.h"
#include "system/thread.h"

/* What ld.so has loaded from the file. */
struct loaded {
    const char *path; /* "": the executable */
    uintptr_t bias;
    uintptr_t headers; /* address of the program headers in memory, which may go away */
    size_t header_count;
};

/* Returns true if the file is the one that was loaded, not a later one of its name. Compares the program headers. */
static bool is_same(const struct symtab *file, const struct loaded *loaded) {
    const char *headers = symtab_headers(file, loaded->header_count);
    for (size_t i = 0; headers && i < loaded->header_count; i++) {
        ElfW(Phdr) one;
        size_t at = i * sizeof one;
        if (!thread_read_memory((const void *)(loaded->headers + at), &one, sizeof one) ||
            memcmp(headers + at, &one, sizeof one) != 0) {
            return false;
        }
    }
    return headers != NULL;
}

static bool file_open(struct symtab *file, const struct loaded *loaded) {
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
    if (is_same(file, loaded) && symtab_open(file)) {
        return true;
    }
    munmap((void *)file->bytes, file->size);
    return false;
}

bool symbol_file_at(const struct glimpse *object, const void *address, unsigned type, char *name, size_t capacity,
                    size_t *offset) {
    struct symtab file;
    struct loaded loaded = {object->name, object->bias, object->headers, object->header_count};
    if (!file_open(&file, &loaded)) {
        return false;
    }
    bool is_found = symtab_at(&file, (uintptr_t)address - object->bias, type, name, capacity, offset);
    munmap((void *)file.bytes, file.size);
    return is_found;
}

void *symbol_find_hidden(const struct elf_object *object, const char *name) {
    struct symtab file;
    struct loaded loaded = {object->name, object->bias, (uintptr_t)object->segments, object->segment_count};
    if (!file_open(&file, &loaded)) {
        return NULL;
    }
    const ElfW(Sym) *symbol = symtab_find(&file, name, STT_FUNC);
    void *found = symbol ? (void *)(object->bias + symbol->st_value) : NULL;
    munmap((void *)file.bytes, file.size);
    return found;
}
