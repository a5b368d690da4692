/* The exported dlclose. It counts the calls, because an address may belong to another library afterwards: what was
 * remembered of the address no longer counts. It can call the real dlclose, which does not depend on its caller's
 * address. */
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
    /* Counted twice. The first count is for a library that another thread opens at the same place before this thread
     * comes to the second. */
    __atomic_add_fetch(&loader_closings, 1, __ATOMIC_ACQ_REL);
    int result = found(handle);
    __atomic_add_fetch(&loader_closings, 1, __ATOMIC_ACQ_REL);
    return result;
}
