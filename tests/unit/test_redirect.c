#include "system/redirect.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "maps.h"
#include "system/glimpse.h"
#include "test.h"

/* Every build of importer.c: argv of this program. Each needs libplain.so, library.c in the usual build. */
static char **importers;
static char **libraries;
static char **end;

static int replacement(void) {
    return 1000;
}

static int replacement_of_other(void) {
    return 2000;
}

static int call(void *handle, const char *name) {
    int (*function)(void) = (int (*)(void))dlsym(handle, name);
    return function ? function() : -1;
}

/* Opens the library and fills `object`. */
static void *open_library(const char *file, const char *symbol, struct elf_object *object) {
    void *handle = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    CHECK(handle != NULL);
    if (!handle) {
        printf("# %s\n", dlerror());
        return NULL;
    }
    CHECK(elf_find_by_address(dlsym(handle, symbol), object));
    return handle;
}

/* Both by the object and by a copy of what is needed of it, where that can be found: see loader_locate. */
static int is_named_at(const struct elf_object *object, const void *address, const char *name) {
    struct glimpse glimpse;
    char copy[64];
    size_t offset = 77;
    const char *found = elf_function_at(object, address, &offset);
    if (!found || strcmp(found, name) != 0 || offset != 0)
        return 0;
    return glimpse_take(&glimpse, address)
               ? glimpse_function_at(&glimpse, address, copy, sizeof copy, &offset) && strcmp(copy, name) == 0
               : strstr(object->name, "libhighbase") != NULL;
}

static void redirects_dlsym_and_back(void) {
    for (char **library = libraries; library < importers; library++) {
        printf("# %s\n", *library);
        struct elf_object object;
        struct redirect pages;
        char before[4096], after[4096];
        void *handle = open_library(*library, "lib_answer", &object);
        if (!handle)
            continue;
        maps_of(*library, before, sizeof before);
        const ElfW(Sym) *symbol = elf_find_export(&object, "lib_answer");
        CHECK(symbol != NULL);
        void *original = elf_symbol_address(&object, symbol);

        errno = 77;
        CHECK(redirect_begin(&pages, &object, &symbol, 1) == 0);
        redirect_export(&pages, symbol, (void *)replacement);
        redirect_end(&pages);
        CHECK(errno == 77);
        maps_of(*library, after, sizeof after);
        CHECK(strcmp(before, after) == 0);
        CHECK(dlsym(handle, "lib_answer") == (void *)replacement);
        CHECK(call(handle, "lib_answer") == 1000);
        CHECK(call(handle, "lib_other") == 2);
        CHECK(is_named_at(&object, original, "lib_answer"));
        CHECK(!elf_function_at(&object, (void *)replacement, &(size_t){0}));

        CHECK(redirect_begin(&pages, &object, &symbol, 1) == 0);
        redirect_export(&pages, symbol, original);
        redirect_end(&pages);
        CHECK(call(handle, "lib_answer") == 1);
        CHECK(is_named_at(&object, original, "lib_answer"));
        dlclose(handle);
    }
}

static void withdraws_an_export(void) {
    for (char **library = libraries; library < importers; library++) {
        struct elf_object object;
        struct redirect pages;
        void *handle = open_library(*library, "lib_answer", &object);
        if (!handle)
            continue;
        const ElfW(Sym) *symbol = elf_find_export(&object, "lib_answer");
        CHECK(redirect_begin(&pages, &object, &symbol, 1) == 0);
        redirect_withdraw(&pages, symbol);
        redirect_end(&pages);
        CHECK(dlsym(handle, "lib_answer") == NULL);
        CHECK(!elf_find_export(&object, "lib_answer"));
        CHECK(call(handle, "lib_other") == 2);
        dlclose(handle);
    }
}

/* Objects loaded later bind to the replacement, whatever their kind of reference. */
static void modules_loaded_later_follow(void) {
    struct elf_object object;
    struct redirect pages;
    /* libraries[0] is libplain.so, which the importers need */
    void *library = open_library(libraries[0], "lib_answer", &object);
    const ElfW(Sym) *symbol = elf_find_export(&object, "lib_answer");
    void *original = elf_symbol_address(&object, symbol);
    CHECK(redirect_begin(&pages, &object, &symbol, 1) == 0);
    redirect_export(&pages, symbol, (void *)replacement);
    redirect_end(&pages);
    for (char **importer = importers; importer < end; importer++) {
        printf("# %s\n", *importer);
        void *handle = dlopen(*importer, RTLD_LAZY | RTLD_LOCAL);
        CHECK(handle != NULL);
        CHECK(call(handle, "importer_call") == 1000);
        CHECK(call(handle, "importer_by_table") == 1000);
        CHECK(call(handle, "importer_other") == 2);
        dlclose(handle);
    }
    CHECK(redirect_begin(&pages, &object, &symbol, 1) == 0);
    redirect_export(&pages, symbol, original);
    redirect_end(&pages);
    dlclose(library);
}

static const void *choose(const char *name, const void *bound) {
    (void)bound;
    if (strcmp(name, "lib_answer") == 0)
        return (const void *)replacement;
    return strcmp(name, "lib_other") == 0 ? (const void *)replacement_of_other : NULL;
}

static const void *choose_nothing(const char *name, const void *bound) {
    (void)name, (void)bound;
    return NULL;
}

static void rebinds_imports(void) {
    for (char **importer = importers; importer < end; importer++) {
        printf("# %s\n", *importer);
        struct elf_object object;
        char before[4096], after[4096];
        void *handle = open_library(*importer, "importer_call", &object);
        if (!handle)
            continue;
        CHECK(call(handle, "importer_call") == 1);
        maps_of(*importer, before, sizeof before);

        CHECK(redirect_imports(&object, choose_nothing) == 0);
        CHECK(call(handle, "importer_call") == 1);

        CHECK(redirect_imports(&object, choose) >= 2);
        CHECK(call(handle, "importer_call") == 1000);
        CHECK(call(handle, "importer_other") == 2000);
        CHECK(call(handle, "importer_by_table") == 1); /* a pointer in data keeps its identity */
        CHECK(redirect_imports(&object, choose) == 0);

        maps_of(*importer, after, sizeof after);
        CHECK(strcmp(before, after) == 0);
        if (strcmp(before, after) != 0)
            printf("# before:\n%s# after:\n%s", before, after);
        dlclose(handle);
    }
}

/* The object as it is between being mapped and being relocated, in memory of its own: what its file has. */
static void *map_unrelocated(const char *file, struct elf_object *object) {
    static ElfW(Phdr) headers[24];
    ElfW(Ehdr) header;
    int descriptor = open(file, O_RDONLY | O_CLOEXEC);
    CHECK(pread(descriptor, &header, sizeof header, 0) == (ssize_t)sizeof header && header.e_phnum <= 24);
    size_t size = header.e_phnum * sizeof *headers;
    CHECK(pread(descriptor, headers, size, (off_t)header.e_phoff) == (ssize_t)size);
    uintptr_t first = UINTPTR_MAX, last = 0;
    for (size_t i = 0; i < header.e_phnum; i++)
        if (headers[i].p_type == PT_LOAD) {
            first = headers[i].p_vaddr < first ? headers[i].p_vaddr : first;
            last = headers[i].p_vaddr + headers[i].p_memsz;
        }
    first &= -(uintptr_t)sysconf(_SC_PAGESIZE);
    char *memory = mmap(NULL, last - first, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t i = 0; i < header.e_phnum; i++)
        if (headers[i].p_type == PT_LOAD)
            CHECK(pread(descriptor, memory + (headers[i].p_vaddr - first), headers[i].p_filesz,
                        (off_t)headers[i].p_offset) == (ssize_t)headers[i].p_filesz);
    close(descriptor);
    struct dl_phdr_info info = {
        .dlpi_addr = (uintptr_t)memory - first, .dlpi_name = file, .dlpi_phdr = headers, .dlpi_phnum = header.e_phnum};
    elf_open(object, &info);
    return memory;
}

static void knows_what_is_relocated(void) {
    static const int ways[] = {RTLD_LAZY, RTLD_NOW};
    for (char **importer = importers; importer < end; importer++) {
        printf("# %s\n", *importer);
        struct elf_object object;
        CHECK(map_unrelocated(*importer, &object) != NULL);
        CHECK(!redirect_is_relocated(&object));
        for (size_t way = 0; way < 2; way++) {
            void *handle = dlopen(*importer, ways[way] | RTLD_LOCAL);
            CHECK(handle && elf_find_by_address(dlsym(handle, "importer_call"), &object));
            CHECK(redirect_is_relocated(&object));
            dlclose(handle);
        }
    }
    /* Linked in every way, some of them without a slot. */
    for (char **library = libraries; library < importers; library++) {
        printf("# %s\n", *library);
        struct elf_object object;
        void *handle = open_library(*library, "lib_answer", &object);
        CHECK(redirect_is_relocated(&object));
        dlclose(handle);
    }
}

/* test_redirect LIBRARY... -- IMPORTER... */
int main(int argc, char **argv) {
    alarm(120);
    libraries = argv + 1;
    end = argv + argc;
    for (importers = libraries; importers < end && strcmp(*importers, "--") != 0;)
        importers++;
    char **separator = importers;
    memmove(separator, separator + 1, (size_t)(end - separator) * sizeof *separator);
    end--;
    RUN(redirects_dlsym_and_back);
    RUN(modules_loaded_later_follow);
    RUN(rebinds_imports);
    RUN(knows_what_is_relocated);
    RUN(withdraws_an_export);
    return test_end();
}
