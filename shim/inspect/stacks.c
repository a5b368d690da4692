/* What diagnose/stacks.c has to know about the target's threads and code. */
#include "diagnose/stacks.h"

#include "inspect/target.h"
#include "inspect/threads.h"
#include "system/cfi.h"
#include "system/loader.h"
#include "system/ticks.h"

uintptr_t stacks_top_of(pid_t tid) {
    return tid == target_pid() ? threads_start_of_stack() : threads_descriptor(tid);
}

void *stacks_function_of(void *address) {
    struct cfi_shape shape;
    return address && cfi_shape((uintptr_t)address, true, &shape) ? (void *)shape.function : NULL;
}

/* On a busy machine, a waiter that has just been woken may have to wait for a processor. Hundreds of waiters must not use up the
 * time for all of the report: what all stacks together may wait is limited. */
unsigned stacks_patience(void) {
    enum { PATIENT = 150, IMPATIENT = 5, ALL_NS = 2000000000 };
    static uint64_t begun;
    uint64_t now = ticks_monotonic();
    begun = begun ? begun : now;
    return now - begun < ALL_NS ? PATIENT : IMPATIENT;
}

/* Objects are found once. */
uint64_t loader_changes(void) {
    return 1;
}
