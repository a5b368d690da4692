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

bool stacks_registers_of(pid_t tid, struct cfi_frame *frame) {
    return target_source()->registers(tid, frame);
}

void *stacks_function_of(void *address) {
    struct cfi_shape shape;
    return address && cfi_shape((uintptr_t)address, true, &shape) ? (void *)shape.function : NULL;
}

/* On a busy machine, a waiter that has just been woken may have to wait for a processor. Hundreds of waiters must not use up the
 * time for all of the report: what all stacks together may wait is limited. */
unsigned stacks_patience(void) {
    if (target_source()->is_core) {
        return 0; /* nothing changes there */
    }
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

bool loader_is_code(const void *address) {
    struct elf_object object;
    bool is_code = false;
    if (elf_find_by_address(address, &object)) {
        for (size_t i = 0; i < object.segment_count; i++) {
            const ElfW(Phdr) *segment = &object.segments[i];
            is_code |= segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
                       (uintptr_t)address - object.bias - segment->p_vaddr < segment->p_memsz;
        }
    }
    return is_code;
}
