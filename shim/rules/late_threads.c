/* Threads that come too late: they call into an interpreter that has ended, or CPython ends them (`finalize`). */
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/real.h"
#include "process/options.h"
#include "rules/final_state.h"
#include "rules/reconcile.h"
#include "rules/tell.h"
#include "system/dlsym_hook.h"
#include "system/elf.h"
#include "system/unwinding.h"

/* Ends the calling thread and runs none of its code: no C++ destructor, no clean-up handler, no key's destructor. What
 * the thread holds and what is on its stack stay as they are until it is joined. The joining thread goes on, since the
 * kernel itself wakes it (CLONE_CHILD_CLEARTID). glibc still counts the ended thread, and does not free the stack of a
 * detached one; before it signals a thread (setuid, pthread_kill) it looks at the thread's kernel id, which is 0 now.
 * Python 3.14 parks such threads for good instead, so that a C++ static's destructor that joins one never ends
 * (pybind11 #1446). */
static _Noreturn void end_without_unwinding(const void *caller) {
    tell_repaired(REPAIR_finalize, caller, NULL, NULL);
    tell_vanishes();
    for (;;) {
        syscall(SYS_exit, 0);
    }
}

static bool is_late(void) {
    return interp_has_ended() && options_repairs(REPAIR_finalize) && !final_is_first_thread();
}

void reconcile_stop_if_late(const void *caller) {
    if (is_late()) {
        end_without_unwinding(caller);
    }
}

static bool is_inside(const void *address) {
    struct elf_object object;
    return interp_contains(address) ||
           (elf_find_by_address(address, &object) && elf_find_export(&object, "gilshim_version"));
}

/* Returns true if `caller` is CPython's only call of pthread_exit, in PyThread_exit_thread. A program that contains
 * CPython may have other calls of its own. */
static bool is_thread_exit_of_cpython(const void *caller) {
    struct elf_object object;
    size_t offset;
    const void *call = (const char *)caller - 1; /* the call does not return: another function may follow it */
    if (!interp_contains(call) || !elf_find_by_address(call, &object)) {
        return false;
    }
    const char *function = elf_function_at(&object, call, &offset);
    return real_status.binding != REAL_STATIC || (function && strcmp(function, "PyThread_exit_thread") == 0);
}

static void unless_it_can_be_unwound(const void *caller) {
    const void *outside = NULL;
    if (unwind_meets_code(is_inside, &outside)) {
        end_without_unwinding(outside ? outside : caller);
    }
}

/* Up to 3.8 every Python thread ends by pthread_exit; up to 3.13 a thread that meets finalization does. A thread that
 * can be unwound is let go: the host may join it. The first thread is never ended this way, since the process may be
 * waiting for its end. Nor is the finalizing thread. */
void reconcile_before_pthread_exit(const void *caller) {
    const void *outside = NULL;
    bool is_at_end = interp_is_finalizing() || !interp_is_initialized();
    if (!is_at_end || !options_repairs(REPAIR_finalize) || final_is_first_thread() || final_is_seen_here() ||
        !is_thread_exit_of_cpython(caller)) {
        return;
    }
    if (options.mode == MODE_REPAIR) {
        unless_it_can_be_unwound(caller);
    } else if (unwind_meets_code(is_inside, &outside)) {
        tell_would_unwind(outside ? outside : caller);
    }
}

void reconcile_end_if_late(const void *caller) {
    if (is_late()) {
        unless_it_can_be_unwound(caller);
        libc_real_pthread_exit(NULL);
    }
}
