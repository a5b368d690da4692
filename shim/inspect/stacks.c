/* What diagnose/stacks.c has to know about the target's threads and code. */
#include "diagnose/stacks.h"

#include "inspect/target.h"
#include "inspect/threads.h"
#include "system/cfi.h"
#include "system/loader.h"

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

/* On a busy machine, a waiter that has just been woken may have to wait for a processor. */
unsigned stacks_patience(void) {
    return target_source()->is_core ? 0 : 150;
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
