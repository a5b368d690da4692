#include "process.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "inspect/target.h"
#include "inspect/threads.h"
#include "system/thread.h"

enum { OBJECTS_MAX = 256 };

static pid_t process;
static struct target_object objects[OBJECTS_MAX];
static const uint8_t *files[OBJECTS_MAX];
static size_t object_count;

/* Maps the file. Returns NULL if it is no ELF object. */
static const uint8_t *map_file(const char *path) {
    char name[PATH_MAX + 32];
    struct stat status;
    const uint8_t *bytes = NULL;
    snprintf(name, sizeof name, "/proc/%d/root%s", (int)process, path);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fd = open(path, O_RDONLY | O_CLOEXEC); /* after a chroot the paths are as we see them */
    }
    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) == 0 && status.st_size > (off_t)sizeof(Elf64_Ehdr)) {
        void *map = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        bytes = map == MAP_FAILED || memcmp(map, ELFMAG, SELFMAG) != 0 ? NULL : map;
    }
    close(fd);
    return bytes;
}

static void add_object(uintptr_t start, const char *path) {
    const uint8_t *file = object_count < OBJECTS_MAX ? map_file(path) : NULL;
    if (!file) {
        return;
    }
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(file + header->e_phoff);
    for (int i = 0; i < header->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD) {
            struct target_object *object = &objects[object_count];
            object->bias = start - (segment[i].p_vaddr & ~(uintptr_t)0xfff);
            snprintf(object->path, sizeof object->path, "%.511s", path);
            files[object_count++] = file;
            return;
        }
    }
}

bool process_open(pid_t pid) {
    char name[64], line[PATH_MAX + 100], path[PATH_MAX];
    process = pid;
    object_count = 0;
    snprintf(name, sizeof name, "/proc/%d/maps", (int)pid);
    FILE *maps = fopen(name, "r");
    if (!maps) {
        return false;
    }
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, offset;
        if (sscanf(line, "%lx-%*x %*s %lx %*s %*s %4095[^\n]", &start, &offset, path) == 3 && !offset &&
            path[0] == '/') {
            add_object(start, path);
        }
    }
    fclose(maps);
    return true;
}

bool target_read(uintptr_t address, void *to, size_t size) {
    struct iovec local = {to, size}, remote = {(void *)address, size};
    return process_vm_readv(process, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

bool thread_read_memory(const void *from, void *to, size_t size) {
    return target_read((uintptr_t)from, to, size);
}

bool target_read_string(uintptr_t address, char *to, size_t capacity) {
    size_t i = 0;
    while (i < capacity - 1 && target_read(address + i, to + i, 1) && to[i]) {
        i++;
    }
    to[i] = '\0';
    return i > 0;
}

size_t target_objects(const struct target_object **all) {
    *all = objects;
    return object_count;
}

static bool find_in(const struct target_object *object, const uint8_t *file, const Elf64_Shdr *sections,
                    const Elf64_Shdr *table, const char *name, uintptr_t *address, size_t *size) {
    const Elf64_Sym *symbol = (const Elf64_Sym *)(file + table->sh_offset);
    const char *names = (const char *)file + sections[table->sh_link].sh_offset;
    for (size_t i = 0; i < table->sh_size / sizeof *symbol; i++, symbol++) {
        if (symbol->st_shndx != SHN_UNDEF && strcmp(names + symbol->st_name, name) == 0) {
            *address = object->bias + symbol->st_value;
            if (size) {
                *size = symbol->st_size;
            }
            return true;
        }
    }
    return false;
}

bool target_symbol(const struct target_object *object, const char *name, uintptr_t *address, size_t *size) {
    const uint8_t *file = files[object - objects];
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + header->e_shoff);
    static const uint32_t types[] = {SHT_DYNSYM, SHT_SYMTAB};
    bool is_stripped = getenv("INSPECT_STRIPPED") != NULL; /* as if there were no .symtab */
    for (size_t t = 0; t < (is_stripped ? 1 : 2); t++) {
        for (int i = 0; i < header->e_shnum; i++) {
            if (sections[i].sh_type == types[t] && find_in(object, file, sections, &sections[i], name, address, size)) {
                return true;
            }
        }
    }
    return false;
}

size_t target_threads(pid_t *tids, size_t capacity) {
    char name[64];
    size_t count = 0;
    snprintf(name, sizeof name, "/proc/%d/task", (int)process);
    DIR *folder = opendir(name);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (tid > 0 && count++ < capacity) {
            tids[count - 1] = tid;
        }
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

pid_t target_thread_of(pid_t id) {
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/task/%d", (int)process, (int)id);
    return access(name, F_OK) == 0 ? id : 0;
}

uintptr_t threads_descriptor(pid_t tid) {
    void *list = NULL;
    size_t size = 0;
    return syscall(SYS_get_robust_list, tid, &list, &size) == 0 ? (uintptr_t)list : 0;
}

uintptr_t process_futex_of(pid_t tid) {
    char name[64];
    long number;
    unsigned long argument = 0;
    snprintf(name, sizeof name, "/proc/%d/task/%d/syscall", (int)process, (int)tid);
    FILE *file = fopen(name, "r");
    bool is_futex = file && fscanf(file, "%ld %lx", &number, &argument) == 2 && number == SYS_futex;
    if (file) {
        fclose(file);
    }
    return is_futex ? argument : 0;
}
