/* dlclose, seen: an address may mean another library afterwards, so that what was remembered of it does not count any more.
 * The real one does not go by its caller, so that it may be called. */
#include <dlfcn.h>
#include <string.h>

#include "system/dlsym_hook.h"
#include "system/loader.h"

typedef int close_function(void *handle);

__attribute__((visibility("default"))) int dlclose(void *handle) {
    static close_function *real_close;
    close_function *found = __atomic_load_n(&real_close, __ATOMIC_RELAXED);
    if (!found) {
        void *address = libc_real_dlsym(RTLD_NEXT, "dlclose");
        memcpy(&found, &address, sizeof found);
        __atomic_store_n(&real_close, found, __ATOMIC_RELAXED);
    }
    /* Twice: before, for what another thread opens at the same place before this one comes to the second. */
    __atomic_add_fetch(&loader_closings, 1, __ATOMIC_ACQ_REL);
    int result = found(handle);
    __atomic_add_fetch(&loader_closings, 1, __ATOMIC_ACQ_REL);
    return result;
}
