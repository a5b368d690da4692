/* The readers of loaded objects on damaged ones, in memory: they end, and stay inside the object. With clang's libFuzzer
   (-fsanitize=fuzzer) an input is a file; by itself:

   readers SECONDS FIRST OBJECT...   damages the objects with the seeds from FIRST on, for so many seconds */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mutate.h"
#include "system/elf.h"
#include "system/redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { PAGE = 4096, SPAN_MAX = 64 * PAGE, HEADERS_MAX = 16 };

struct image {
    uint8_t *memory; /* a page of nothing on each side */
    uint64_t first;  /* address that the object is linked to have its first page at */
    uint64_t span;
    Elf64_Phdr headers[HEADERS_MAX];
    unsigned count;
};

static bool read_headers(struct image *image, const uint8_t *bytes, size_t size) {
    Elf64_Ehdr header;
    image->first = UINT64_MAX;
    if (size < sizeof header)
        return false;
    memcpy(&header, bytes, sizeof header);
    image->count = header.e_phnum;
    if (image->count > HEADERS_MAX || header.e_phoff > size ||
        size - header.e_phoff < image->count * sizeof(Elf64_Phdr))
        return false;
    memcpy(image->headers, bytes + header.e_phoff, image->count * sizeof(Elf64_Phdr));
    for (unsigned i = 0; i < image->count; i++) {
        const Elf64_Phdr *segment = &image->headers[i];
        if (segment->p_type != PT_LOAD)
            continue;
        uint64_t start = segment->p_vaddr & -(uint64_t)PAGE;
        image->first = start < image->first ? start : image->first;
        if (segment->p_memsz > SPAN_MAX || segment->p_filesz > segment->p_memsz || segment->p_offset > size ||
            segment->p_filesz > size - segment->p_offset)
            return false;
    }
    image->span = 0;
    for (unsigned i = 0; i < image->count; i++) {
        uint64_t from = image->headers[i].p_vaddr - image->first;
        if (image->headers[i].p_type != PT_LOAD)
            continue;
        if (from > SPAN_MAX)
            return false;
        uint64_t end = (from + image->headers[i].p_memsz + PAGE - 1) & -(uint64_t)PAGE;
        image->span = end > image->span ? end : image->span;
    }
    return image->span > 0;
}

static uint8_t *at(const struct image *image, uint64_t address) {
    return (uint8_t *)((uintptr_t)image->memory + PAGE + address - image->first);
}

/* As ld.so does it: whole pages, the later over the earlier, the dynamic section's pointers moved where it can be written. */
static bool map_image(struct image *image, const uint8_t *bytes, size_t size) {
    if (!read_headers(image, bytes, size))
        return false;
    image->memory = mmap(NULL, image->span + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(image->memory, PAGE, PROT_NONE);
    mprotect(at(image, image->first) + image->span, PAGE, PROT_NONE);
    uint64_t bias = (uint64_t)(uintptr_t)at(image, 0);
    for (unsigned i = 0; i < image->count; i++) {
        const Elf64_Phdr *segment = &image->headers[i];
        if (segment->p_type == PT_LOAD)
            memcpy(at(image, segment->p_vaddr), bytes + segment->p_offset, segment->p_filesz);
    }
    for (unsigned i = 0; i < image->count; i++) {
        const Elf64_Phdr *segment = &image->headers[i];
        uint64_t from = segment->p_vaddr - image->first;
        if (segment->p_type != PT_DYNAMIC || !(segment->p_flags & PF_W) || segment->p_vaddr % 8)
            continue;
        for (; from < image->span && image->span - from >= sizeof(Elf64_Dyn); from += sizeof(Elf64_Dyn)) {
            Elf64_Dyn *entry = (void *)(image->memory + PAGE + from);
            bool is_pointer = entry->d_tag == DT_SYMTAB || entry->d_tag == DT_STRTAB || entry->d_tag == DT_HASH ||
                              entry->d_tag == DT_GNU_HASH || entry->d_tag == DT_RELA || entry->d_tag == DT_JMPREL;
            if (entry->d_tag == DT_NULL)
                break;
            entry->d_un.d_ptr += is_pointer ? bias : 0;
        }
    }
    mprotect(at(image, image->first), image->span, PROT_NONE);
    for (unsigned i = 0; i < image->count; i++) {
        const Elf64_Phdr *segment = &image->headers[i];
        uint64_t start = segment->p_vaddr & -(uint64_t)PAGE;
        int protection = (segment->p_flags & PF_R ? PROT_READ : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) |
                         (segment->p_flags & PF_X ? PROT_EXEC : 0);
        if (segment->p_type == PT_LOAD && segment->p_memsz)
            mprotect(at(image, start), segment->p_vaddr - start + segment->p_memsz, protection);
    }
    return true;
}

static volatile size_t sum;

static const void *choose(const char *name, const void *bound) {
    sum += strlen(name);
    return strcmp(name, "lib_answer") == 0 ? (const char *)bound + 16 : NULL;
}

static void read_object(const struct image *image) {
    static const char *const names[] = {"lib_answer",    "lib_other",         "lib_export_7", "lib_data", "nothing", "",
                                        "Py_GetVersion", "PyGILState_Ensure", "getppid",      "puts",     "free"};
    struct dl_phdr_info info = {.dlpi_addr = (uintptr_t)at(image, 0),
                                .dlpi_name = "image",
                                .dlpi_phdr = image->headers,
                                .dlpi_phnum = (Elf64_Half)image->count};
    struct elf_object object;
    elf_open(&object, &info);
    const Elf64_Sym *found[sizeof names / sizeof names[0]];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        found[i] = elf_find_export(&object, names[i]);
    for (uint64_t address = 0; address < image->span; address += 333) {
        size_t offset = 0;
        const char *name = elf_function_at(&object, at(image, image->first + address), &offset);
        sum += offset + (name ? strlen(name) : 0);
    }
    const char *soname = elf_soname(&object);
    sum += (soname ? strlen(soname) : 0) + elf_needs(&object, "libc.so.6") + elf_needs(&object, "");
    struct redirect pages;
    if (redirect_begin(&pages, &object, found, sizeof found / sizeof found[0]) == 0) {
        for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
            if (found[i])
                redirect_export(&pages, found[i], (const void *)names);
        }
        redirect_end(&pages);
    }
    sum += redirect_imports(&object, choose);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct image image;
    if (map_image(&image, bytes, size)) {
        read_object(&image);
        munmap(image.memory, image.span + 2 * PAGE);
    }
    return 0;
}

#ifndef WITH_LIBFUZZER
static uint64_t seed;
static const char *name;

static void died(int number) {
    char text[300];
    int length = snprintf(text, sizeof text, "not ok - signal %d with seed %llu of %s\n", number,
                          (unsigned long long)seed, name);
    if (write(1, text, (size_t)length) < 0)
        _exit(2);
    _exit(1);
}

int main(int argc, char **argv) {
    static struct mutate_object objects[64];
    int count = argc - 3 < 64 ? argc - 3 : 64;
    if (count < 1)
        return 2;
    for (int i = 0; i < count; i++) {
        int fd = open(argv[3 + i], O_RDONLY);
        struct stat status;
        if (fd < 0 || fstat(fd, &status) != 0)
            return 2;
        mutate_open(&objects[i], mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0),
                    (size_t)status.st_size);
    }
    signal(SIGSEGV, died);
    signal(SIGBUS, died);
    signal(SIGALRM, died);
    time_t end = time(NULL) + atol(argv[1]);
    uint64_t first = strtoull(argv[2], NULL, 10);
    for (seed = first; time(NULL) < end; seed++) {
        const struct mutate_object *object = &objects[seed % (unsigned)count];
        uint8_t *bytes = malloc(object->size);
        name = argv[3 + seed % (unsigned)count];
        mutate(object, bytes, seed);
        alarm(20);
        LLVMFuzzerTestOneInput(bytes, object->size);
        free(bytes);
    }
    printf("ok - %llu damaged objects read\n", (unsigned long long)(seed - first));
    return 0;
}
#endif
