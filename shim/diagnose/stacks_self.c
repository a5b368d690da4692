/* What stacks.c has to know about the threads and the code of this process. gilshim-inspect has another implementation
 * (inspect/stacks.c). */
#include "diagnose/stacks.h"

#include <execinfo.h>
#include <string.h>
#include <unistd.h>

#include "journal/journal.h"
#include "system/elf.h"

extern void *__libc_stack_end __attribute__((weak)); // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

uintptr_t stacks_top_of(pid_t tid) {
    struct journal_thread thread;
    int index = journal_find(tid);
    if (tid == getpid()) {
        return &__libc_stack_end ? (uintptr_t)__libc_stack_end : 0;
    }
    return index >= 0 && journal_read_thread((unsigned)index, &thread) ? thread.pthread : 0;
}

bool stacks_registers_of(pid_t tid, struct cfi_frame *frame) {
    (void)tid;
    (void)frame;
    return false;
}

static void *(*find_function)(void *);

static bool find_unwinder(const struct elf_object *object, void *unused) {
    (void)unused;
    const char *slash = strrchr(object->name, '/');
    if (!slash || strncmp(slash + 1, "libgcc_s.so", strlen("libgcc_s.so")) != 0) {
        return false;
    }
    const ElfW(Sym) *symbol = elf_find_export(object, "_Unwind_FindEnclosingFunction");
    if (symbol) {
        void *address = elf_symbol_address(object, symbol);
        memcpy(&find_function, &address, sizeof address);
    }
    return true;
}

void stacks_prepare(void) {
    void *frame; /* one: an unwinder can't go past a call that an auditor watches (audited_call.h) */
    backtrace(&frame, 1);
    elf_visit(find_unwinder, NULL);
}

void *stacks_function_of(void *address) {
    return find_function && address ? find_function((char *)address - 1) : NULL;
}

unsigned stacks_patience(void) {
    return 10;
}
