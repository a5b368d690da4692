/* The objects that this process has loaded. gilshim-inspect has another implementation, for those of another process
 * (inspect/objects.c). */
#include "system/elf.h"

#include <string.h>

#include "system/loader.h"

struct visit {
    bool (*visit)(const struct elf_object *, void *);
    void *argument;
};

static int visit_one(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size;
    const struct visit *visit = argument;
    struct elf_object object;
    elf_open(&object, info);
    return visit->visit(&object, visit->argument);
}

bool elf_visit(bool (*visit)(const struct elf_object *object, void *argument), void *argument) {
    struct visit closure = {visit, argument};
    return loader_iterate(visit_one, &closure) != 0;
}

bool elf_find_by_address(const void *address, struct elf_object *object) {
    struct dl_phdr_info info;
    memset(object, 0, sizeof *object);
    if (!loader_find(address, &info)) {
        return false;
    }
    elf_open(object, &info);
    return true;
}

uintptr_t elf_mirror_distance(const struct elf_object *object) {
    (void)object;
    return 0;
}
