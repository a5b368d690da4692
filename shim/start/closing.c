/* dlclose counts its calls, because an address may belong to another library afterwards: what was remembered of the
 * address no longer counts. It can call the real dlclose, which does not depend on its caller's address. */
#include "start/closing.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "system/dlsym_hook.h"
#include "system/loader.h"

typedef int close_function(void *handle);

enum { RESTS_MAX = 1000 };

/* Threads that look, and calls of dlclose that have not returned; and how many of them are this thread's. A signal
 * handler may fork between the changes of two: the order is such that the child then counts too few, not too many. */
static int looking, closing;
static __thread int looking_here __attribute__((tls_model("initial-exec")));
static __thread int closing_here __attribute__((tls_model("initial-exec")));

/* Waits until there are none but this thread's, or about a tenth of a second. Returns whether there are none. This is not a
 * cancellation point. */
static bool wait_for_others(const int *count, int here) {
    const struct timespec time = {0, 50000};
    int saved_errno = errno;
    for (int i = 0; i < RESTS_MAX && __atomic_load_n(count, __ATOMIC_SEQ_CST) > here; i++) {
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
    }
    errno = saved_errno;
    return __atomic_load_n(count, __ATOMIC_SEQ_CST) <= here;
}

bool closing_begin_look(void) {
    static unsigned gave_up_at; /* a dlclose that hangs is waited for once */
    bool is_alone = false;
    for (int i = 0;; i++) {
        __atomic_add_fetch(&looking, 1, __ATOMIC_SEQ_CST);
        is_alone = __atomic_load_n(&closing, __ATOMIC_SEQ_CST) <= closing_here;
        unsigned closings = __atomic_load_n(&loader_closings, __ATOMIC_RELAXED);
        if (is_alone || i == RESTS_MAX || closings == __atomic_load_n(&gave_up_at, __ATOMIC_RELAXED)) {
            break;
        }
        __atomic_sub_fetch(&looking, 1, __ATOMIC_SEQ_CST);
        if (!wait_for_others(&closing, closing_here)) {
            __atomic_store_n(&gave_up_at, closings, __ATOMIC_RELAXED);
        }
    }
    looking_here++;
    return is_alone;
}

void closing_end_look(void) {
    looking_here--;
    __atomic_sub_fetch(&looking, 1, __ATOMIC_SEQ_CST);
}

void closing_after_fork(void) {
    looking = looking_here;
    closing = closing_here;
}

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
    __atomic_add_fetch(&closing, 1, __ATOMIC_SEQ_CST);
    closing_here++;
    wait_for_others(&looking, looking_here);
    int result = found(handle);
    closing_here--;
    __atomic_sub_fetch(&closing, 1, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&loader_closings, 1, __ATOMIC_ACQ_REL);
    return result;
}
