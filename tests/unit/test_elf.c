#include "system/elf.h"
#include "system/loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

/* Every build of library.c, and of versions.c: argv of this program, with "--" between them. Each ends with NULL. */
static char **libraries, **versioned;

static int local_function(void) {
    return 3;
}

static void finds_the_program(void) {
    struct elf_object object;
    CHECK(elf_find_by_address((void *)local_function, &object));
    CHECK(object.name[0] == '\0');
}

static void finds_no_object_elsewhere(void) {
    struct elf_object object;
    int on_stack = 0;
    CHECK(!elf_find_by_address(&on_stack, &object));
    CHECK(!elf_find_by_address(NULL, &object));
}

static void reads_every_kind_of_library(void) {
    for (char **library = libraries; *library; library++) {
        void *handle = dlopen(*library, RTLD_NOW | RTLD_LOCAL);
        printf("# %s\n", *library);
        CHECK(handle != NULL);
        if (!handle)
            continue;
        struct elf_object object;
        CHECK(elf_find_by_address(dlsym(handle, "lib_answer"), &object));
        CHECK(strcmp(object.name, *library) == 0);

        char name[40];
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "lib_export_%d", i);
            const ElfW(Sym) *symbol = elf_find_export(&object, name);
            CHECK(symbol && elf_symbol_address(&object, symbol) == dlsym(handle, name));
        }
        const ElfW(Sym) *data = elf_find_export(&object, "lib_data");
        CHECK(data && *(int *)elf_symbol_address(&object, data) == 7);

        CHECK(!elf_find_export(&object, "lib_export_20"));
        CHECK(!elf_find_export(&object, "lib_answe"));
        CHECK(!elf_find_export(&object, "lib_answerr"));
        CHECK(!elf_find_export(&object, ""));
        CHECK(!elf_find_export(&object, "getppid"));

        size_t offset = 99;
        char *big = dlsym(handle, "lib_big");
        const char *function = elf_function_at(&object, big + 5, &offset);
        CHECK(function && strcmp(function, "lib_big") == 0 && offset == 5);
        function = elf_function_at(&object, big, &offset);
        CHECK(function && strcmp(function, "lib_big") == 0 && offset == 0);
        CHECK(!elf_function_at(&object, dlsym(handle, "lib_data"), &offset));
        dlclose(handle);
    }
}

static int call(const struct elf_object *object, const ElfW(Sym) *symbol) {
    int (*function)(void) = symbol ? (int (*)(void))elf_symbol_address(object, symbol) : NULL;
    return function ? function() : -1;
}

/* Of a name with versions: the default one, and what is the same code; without versions, the only definition. */
static void finds_versions(void) {
    enum { ROOM = 4 };
    for (char **library = versioned; *library; library++) {
        const ElfW(Sym) *found[ROOM + 1] = {NULL};
        struct elf_object object;
        printf("# %s\n", *library);
        void *handle = dlopen(*library, RTLD_NOW | RTLD_LOCAL);
        CHECK(handle && elf_find_by_address(dlsym(handle, "lib_wait"), &object));
        if (!handle)
            continue;
        CHECK(elf_find_versions(&object, "lib_wait", found, ROOM) == 1);
        CHECK(found[0] && elf_symbol_address(&object, found[0]) == dlsym(handle, "lib_wait"));
        CHECK(call(&object, found[0]) == 2);

        CHECK(elf_find_versions(&object, "lib_same", found, ROOM) == 3);
        CHECK(found[0] != found[1] && found[1] != found[2] && found[0] != found[2]);
        for (int i = 0; i < 3; i++)
            CHECK(call(&object, found[i]) == 3);

        CHECK(elf_find_versions(&object, "lib_new", found, ROOM) == 1 && call(&object, found[0]) == 5);
        CHECK(elf_find_versions(&object, "lib_gone", found, ROOM) == 0);
        CHECK(elf_find_versions(&object, "lib_absent", found, ROOM) == 0);

        found[1] = found[ROOM] = NULL;
        CHECK(elf_find_versions(&object, "lib_same", found, 1) <= 1);
        CHECK(elf_find_versions(&object, "lib_same", found, 0) == 0);
        CHECK(!found[1] && !found[ROOM]);
        dlclose(handle);
    }
    for (char **library = libraries; *library; library++) {
        const ElfW(Sym) *found[2] = {NULL};
        struct elf_object object;
        void *handle = dlopen(*library, RTLD_NOW | RTLD_LOCAL);
        CHECK(handle && elf_find_by_address(dlsym(handle, "lib_answer"), &object));
        CHECK(elf_find_versions(&object, "lib_answer", found, 2) == 1 &&
              found[0] == elf_find_export(&object, "lib_answer"));
        dlclose(handle);
    }
}

static void does_not_find_what_an_object_only_imports(void) {
    struct elf_object program;
    CHECK(elf_find_by_address((void *)local_function, &program));
    CHECK(!elf_find_export(&program, "dlopen"));
}

static bool count_objects(const struct elf_object *object, void *argument) {
    int *count = argument;
    CHECK(*count > 0 || object->name[0] == '\0');
    ++*count;
    return false;
}

static bool stop_at_second(const struct elf_object *object, void *argument) {
    (void)object;
    return ++*(int *)argument == 2;
}

static void visits_in_load_order_until_told_to_stop(void) {
    int count = 0;
    CHECK(!elf_visit(count_objects, &count) && count >= 3);
    count = 0;
    CHECK(elf_visit(stop_at_second, &count) && count == 2);
}

static void notices_loads(void) {
    uint64_t before = loader_changes();
    CHECK(loader_changes() == before);
    void *handle = dlopen(libraries[0], RTLD_NOW);
    uint64_t loaded = loader_changes();
    CHECK(loaded != before);
    dlclose(handle);
    CHECK(loader_changes() != loaded);
}

static volatile int stop;
static void *load_and_unload(void *unused) {
    (void)unused;
    while (!stop) {
        for (char **library = libraries; *library; library++) {
            void *handle = dlopen(*library, RTLD_LAZY);
            if (handle)
                dlclose(handle);
        }
    }
    return NULL;
}

static bool look_up_everywhere(const struct elf_object *object, void *argument) {
    const ElfW(Sym) *symbol = elf_find_export(object, "lib_answer");
    *(int *)argument += symbol != NULL;
    elf_find_export(object, "no_such_function");
    return false;
}

static void while_another_thread_loads_and_unloads(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, load_and_unload, NULL);
    int found = 0;
    for (int i = 0; i < 5000; i++) {
        struct elf_object object;
        elf_visit(look_up_everywhere, &found);
        CHECK(elf_find_by_address((void *)local_function, &object));
    }
    stop = 1;
    pthread_join(thread, NULL);
}

int main(int argc, char **argv) {
    (void)argc;
    libraries = versioned = argv + 1;
    while (strcmp(*versioned, "--") != 0)
        versioned++;
    *versioned++ = NULL;
    alarm(120);
    RUN(finds_the_program);
    RUN(finds_no_object_elsewhere);
    RUN(reads_every_kind_of_library);
    RUN(finds_versions);
    RUN(does_not_find_what_an_object_only_imports);
    RUN(visits_in_load_order_until_told_to_stop);
    RUN(notices_loads);
    RUN(while_another_thread_loads_and_unloads);
    return test_end();
}
