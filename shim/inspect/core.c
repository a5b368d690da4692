#include "inspect/core.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inspect/core_files.h"
#include "inspect/target.h"

static struct core_image core;
static bool is_open;

const struct core_image *core_image(void) {
    return is_open ? &core : NULL;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* What the core file does not have is in the files that were mapped. */
static size_t read_memory(uintptr_t address, void *to, size_t size) {
    size_t done = 0;
    while (done < size) {
        uintptr_t at = address + done;
        char *next = (char *)to + done;
        const struct core_segment *segment = core_image_segment(&core, at);
        size_t piece = core_image_read(&core, at, next, size - done);
        if (!piece) {
            /* What was cut off is not in the file: the process had changed it. */
            bool is_cut = segment && at - segment->start < segment->said;
            const struct core_mapping *mapping = is_cut ? NULL : core_image_mapping(&core, at);
            size_t room = size - done;
            if (segment && room > segment->end - at) {
                room = segment->end - at;
            }
            piece = mapping ? core_files_read(mapping, at, next, room) : 0;
        }
        if (!piece) {
            break;
        }
        done += piece;
    }
    return done;
}

static void visit_vdso(void (*visit)(const struct target_mapping *mapping)) {
    const struct core_segment *segment = core_image_segment(&core, core.vdso);
    if (segment && segment->start == core.vdso) {
        const struct target_mapping told = {segment->start, segment->end, 0, false, segment->is_executable, "[vdso]"};
        visit(&told);
    }
}

/* The kernel has no name for the vdso here. A debugger may have left out segments that are as in their files. */
static void visit_mappings(void (*visit)(const struct target_mapping *mapping)) {
    bool is_vdso_due = core.vdso && !core_image_mapping(&core, core.vdso);
    for (size_t i = 0; i < core.mapping_count; i++) {
        const struct core_mapping *mapping = &core.mappings[i];
        const struct core_segment *segment = core_image_segment(&core, mapping->start);
        if (is_vdso_due && mapping->start > core.vdso) {
            visit_vdso(visit);
            is_vdso_due = false;
        }
        const struct target_mapping told = {
            mapping->start, mapping->end, mapping->offset, true, !segment || segment->is_executable, mapping->path};
        visit(&told);
    }
    if (is_vdso_due) {
        visit_vdso(visit);
    }
}

static int open_mapped(const struct target_mapping *mapping) {
    const struct core_mapping *found = core_image_mapping(&core, mapping->start);
    return found ? core_files_open(found) : -1;
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static size_t list_threads(pid_t *tids, size_t capacity) {
    for (size_t i = 0; i < core.thread_count && i < capacity; i++) {
        tids[i] = core.threads[i].tid;
    }
    return core.thread_count;
}

/* Returns the system call in which the thread sleeps, or -1. The kernel keeps its number and its arguments. x86-64: the
 * thread stands behind the instruction. AArch64: at it, since it is to be made again, and that is why the first argument
 * is what it was. */
static long call_of(const struct core_thread *thread) {
    uintptr_t pc = thread->registers.pc;
#if defined(__x86_64__)
    uint8_t code[7]; /* mov $number,%eax; syscall */
    uint32_t number;
    if (thread->call < 0 || !target_read(pc - sizeof code, code, sizeof code)) {
        return thread->call;
    }
    if (memcmp(code + 5, "\x0f\x05", 2) != 0) {
        return -1;
    }
    if (thread->call != SYS_restart_syscall || code[0] != 0xb8) {
        return thread->call;
    }
    memcpy(&number, code + 1, sizeof number); /* it was interrupted before, and has been going on */
    return number < 4096 ? (long)number : -1;
#else
    enum { SVC = 0xd4000001, NUMBER = 8 };
    uint32_t code;
    uint64_t number = thread->registers.values[NUMBER];
    bool is_there = target_read(pc, &code, sizeof code) && code == SVC;
    bool is_before = !is_there && target_read(pc - sizeof code, &code, sizeof code) && code == SVC;
    return (is_there || (is_before && thread->call >= 0)) && number < 4096 ? (long)number : -1;
#endif
}

/* As the kernel writes it for a thread that sleeps. */
static int write_call(const struct core_thread *thread, char *buffer, size_t capacity) {
    const unsigned long long stack = thread->registers.values[CFI_STACK], pc = thread->registers.pc;
    const uint64_t *a = thread->arguments;
    long call = call_of(thread);
    if (call < 0) {
        return snprintf(buffer, capacity, "-1 0x%llx 0x%llx\n", stack, pc);
    }
    return snprintf(buffer, capacity, "%ld 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx 0x%llx\n", call,
                    (unsigned long long)a[0], (unsigned long long)a[1], (unsigned long long)a[2],
                    (unsigned long long)a[3], (unsigned long long)a[4], (unsigned long long)a[5], stack, pc);
}

/* Only the process has its name in a core file. */
static size_t read_thread_file(pid_t tid, const char *file, char *buffer, size_t capacity) {
    const struct core_thread *thread = core_image_thread(&core, tid);
    const char *name = tid == core.pid ? core.name : "";
    int length = 0;
    if (thread && strcmp(file, "syscall") == 0) {
        length = write_call(thread, buffer, capacity);
    } else if (thread && strcmp(file, "comm") == 0) {
        length = snprintf(buffer, capacity, "%s\n", name);
    } else if (thread && strcmp(file, "status") == 0) {
        length = snprintf(buffer, capacity, "Name:\t%s\nState:\t%c\nSigBlk:\t%016llx\n", name,
                          thread->call >= 0 ? 'S' : 'R', (unsigned long long)thread->blocked);
    }
    if (length <= 0 || (size_t)length >= capacity) {
        length = length > 0 ? (int)capacity - 1 : 0;
        buffer[length] = '\0';
    }
    return (size_t)length;
}

/* The list of robust mutexes, which points to itself if it is empty, tells where in the descriptor other fields are. On
 * x86-64 the thread pointer points to the descriptor's beginning, on AArch64 behind its end. */
static uintptr_t find_descriptor(pid_t tid) {
    const struct core_thread *thread = core_image_thread(&core, tid);
    uintptr_t pointer = thread ? thread->pointer : 0;
    if (!pointer) {
        return 0;
    }
#if defined(__x86_64__)
    enum { FIRST = 0x100, LAST = 0x800, USUAL = 0x2e0 };
    for (uintptr_t at = pointer + FIRST, word; at < pointer + LAST; at += sizeof word) {
        if (target_read(at, &word, sizeof word) && word == at) {
            return at;
        }
    }
    return pointer + USUAL;
#else
    void *own = NULL; /* the same glibc, most likely */
    size_t size;
    return syscall(SYS_get_robust_list, 0, &own, &size) == 0
               ? pointer + ((uintptr_t)own - (uintptr_t)__builtin_thread_pointer())
               : 0;
#endif
}

static bool find_registers(pid_t tid, struct cfi_frame *frame) {
    const struct core_thread *thread = core_image_thread(&core, tid);
    if (thread) {
        *frame = thread->registers;
    }
    return thread != NULL;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static const struct target_source source = {
    .read = read_memory,
    .threads = list_threads,
    .mappings = visit_mappings,
    .open = open_mapped,
    .thread_file = read_thread_file,
    .descriptor = find_descriptor,
    .registers = find_registers,
    .is_core = true,
};

bool core_open(const char *path, const char *program, const char *root, char *reason, size_t capacity) {
    if (!core_image_open(&core, path, reason, capacity) || !core_files_use(&core, program, root, reason, capacity)) {
        return false;
    }
    is_open = true;
    target_use(&source, core.pid);
    return true;
}
