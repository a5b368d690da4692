#include "system/dlsym_hook.h"

#include <dlfcn.h>
#include <stddef.h>

/* Used by dlsym_hook.S. */
typedef void *dlsym_function(void *handle, const char *name);
extern dlsym_function *dlsym_hook_target;
dlsym_function *dlsym_hook_target;
dlsym_function *dlsym_hook_find(void);
bool dlsym_hook_is_wide;

/* RTLD_NEXT goes by the return address. If an auditor (LD_AUDIT) watches returns, a call by way of the PLT returns to
 * ld.so, behind which glibc's dlvsym finds nothing, and crashes; so this call must not use the PLT. (ld.so ignores
 * -z now in such a process up to glibc 2.36 at least.) */
typedef void *dlvsym_function(void *handle, const char *name, const char *version);
static dlvsym_function *const volatile libc_dlvsym = dlvsym;

/* Not instrumented: the sanitizers' runtimes look up the functions that they interpose before they can check
 * anything. */
__attribute__((no_sanitize("address", "thread"))) dlsym_function *dlsym_hook_find(void) {
    /* dlsym moved from libdl to libc in glibc 2.34. dlvsym itself is not interposed. */
    static const char *const versions[] = {"GLIBC_2.34", "GLIBC_2.17", "GLIBC_2.2.5"};
    void *found = NULL;
    for (size_t i = 0; !found && i < sizeof versions / sizeof versions[0]; i++) {
        found = libc_dlvsym(RTLD_NEXT, "dlsym", versions[i]);
    }
    dlerror(); /* clears the message that a missing version leaves */
    __atomic_store_n(&dlsym_hook_target, (dlsym_function *)found, __ATOMIC_RELAXED);
    return (dlsym_function *)found;
}

__attribute__((no_sanitize("address", "thread"))) void *libc_real_dlsym(void *handle, const char *name) {
    dlsym_function *target = __atomic_load_n(&dlsym_hook_target, __ATOMIC_RELAXED);
    return (target ? target : dlsym_hook_find())(handle, name);
}

typedef int create_function(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                            void *argument);

__attribute__((no_sanitize("address", "thread"))) static create_function *find_create(create_function **target,
                                                                                      void *where) {
    create_function *found = __atomic_load_n(target, __ATOMIC_RELAXED);
    if (!found) {
        found = (create_function *)libc_real_dlsym(where, "pthread_create");
        __atomic_store_n(target, found, __ATOMIC_RELAXED);
    }
    return found;
}

__attribute__((no_sanitize("address", "thread"))) int
libc_real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *argument) {
    static create_function *target;
    return find_create(&target, RTLD_NEXT)(thread, attributes, start, argument);
}

int libc_first_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                              void *argument) {
    static create_function *target;
    void *where = libc_real_dlsym(RTLD_DEFAULT, "__tsan_init") ? RTLD_DEFAULT : RTLD_NEXT;
    return find_create(&target, where)(thread, attributes, start, argument);
}

void libc_real_pthread_exit(void *value) {
    typedef void exit_function(void *value);
    static exit_function *target;
    exit_function *found = __atomic_load_n(&target, __ATOMIC_RELAXED);
    if (!found) {
        found = (exit_function *)libc_real_dlsym(RTLD_NEXT, "pthread_exit");
        __atomic_store_n(&target, found, __ATOMIC_RELAXED);
    }
    found(value);
    __builtin_unreachable();
}
