#include "diagnose/culprit.h"

#include <stddef.h>
#include <string.h>

bool culprit_is_runtime(const struct elf_object *object) {
    static const char *const names[] = {
        "libc.so.",       "libpthread.so.", "ld-linux",      "libdl.so.",   "librt.so.",     "libm.so.",
        "linux-vdso.so.", "libgcc_s.so.",   "libstdc++.so.", "libc++.so.",  "libc++abi.so.", "libffi.so.",
        "libasan.so.",    "libtsan.so.",    "libubsan.so.",  "liblsan.so.", "libgilshim.so"};
    const char *slash = strrchr(object->name, '/');
    const char *soname = elf_soname(object);
    const char *name = soname ? soname : slash ? slash + 1 : object->name;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strncmp(name, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool culprit_is_pythons_module(const struct elf_object *object) {
    return strstr(object->name, "/lib-dynload/") != NULL;
}
