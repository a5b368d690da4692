#include "inspect/core_notes.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/user.h>

enum { THREADS_MAX = 65536, MAPPINGS_MAX = 1 << 20 };

#ifndef NT_ARM_TLS
enum { NT_ARM_TLS = 0x401, NT_ARM_SYSTEM_CALL = 0x404 };
#endif

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static struct core_thread *add_thread(struct core_image *core) {
    size_t count = core->thread_count;
    if (count == THREADS_MAX) {
        return NULL;
    }
    if ((count & (count - 1)) == 0) { /* full: its capacity is the power of two */
        struct core_thread *more = realloc(core->threads, (count ? 2 * count : 1) * sizeof *more);
        if (!more) {
            return NULL;
        }
        core->threads = more;
    }
    memset(&core->threads[count], 0, sizeof *core->threads);
    return &core->threads[core->thread_count++];
}

static void take_registers(struct core_thread *thread, const struct elf_prstatus *status) {
    struct cfi_frame *frame = &thread->registers;
    struct user_regs_struct saved;
    _Static_assert(sizeof status->pr_reg == sizeof saved, "the same registers");
    memcpy(&saved, &status->pr_reg, sizeof saved);
    thread->call = -1;
#if defined(__x86_64__)
    const uint64_t values[CFI_RETURN] = {saved.rax, saved.rdx, saved.rcx, saved.rbx, saved.rsi, saved.rdi,
                                         saved.rbp, saved.rsp, saved.r8,  saved.r9,  saved.r10, saved.r11,
                                         saved.r12, saved.r13, saved.r14, saved.r15};
    const uint64_t arguments[6] = {saved.rdi, saved.rsi, saved.rdx, saved.r10, saved.r8, saved.r9};
    memcpy(frame->values, values, sizeof values);
    frame->known = (1ull << CFI_RETURN) - 1;
    frame->pc = saved.rip;
    thread->pointer = saved.fs_base;
    thread->call = (int64_t)saved.orig_rax >= 0 && saved.orig_rax < 4096 ? (long)saved.orig_rax : -1;
#else
    memcpy(frame->values, saved.regs, sizeof saved.regs);
    frame->values[CFI_STACK] = saved.sp;
    frame->known = (1ull << (CFI_STACK + 1)) - 1;
    frame->pc = saved.pc;
    const uint64_t *arguments = (const uint64_t *)saved.regs;
#endif
    memcpy(thread->arguments, arguments, sizeof thread->arguments);
}

static void add_status(struct core_image *core, const uint8_t *bytes, size_t size) {
    struct elf_prstatus status;
    struct core_thread *thread = size >= sizeof status ? add_thread(core) : NULL;
    if (thread) {
        memcpy(&status, bytes, sizeof status);
        thread->tid = status.pr_pid;
        thread->number = status.pr_cursig;
        thread->blocked = status.pr_sighold;
        take_registers(thread, &status);
    }
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* NT_FILE: the count, the size of a page, then start, end and page of each mapping, then their names. */
static void add_files(struct core_image *core, const uint8_t *bytes, size_t size) {
    uint64_t head[2];
    if (size < sizeof head || core->mappings) {
        return;
    }
    memcpy(head, bytes, sizeof head);
    size_t count = head[0] <= (size - sizeof head) / (3 * sizeof(uint64_t)) ? head[0] : 0;
    const char *name = (const char *)bytes + sizeof head + count * 3 * sizeof(uint64_t);
    const char *end = (const char *)bytes + size;
    core->mappings = count && count <= MAPPINGS_MAX ? calloc(count, sizeof *core->mappings) : NULL;
    for (size_t i = 0; core->mappings && i < count; i++) {
        uint64_t place[3];
        size_t length = strnlen(name, (size_t)(end - name));
        if (length == (size_t)(end - name)) {
            return;
        }
        memcpy(place, bytes + sizeof head + i * sizeof place, sizeof place);
        if (place[1] > place[0]) {
            core->mappings[core->mapping_count++] = (struct core_mapping){place[0], place[1], place[2] * head[1], name};
        }
        name += length + 1;
    }
}

static int compare_mappings(const void *one, const void *other) {
    const struct core_mapping *a = one, *b = other;
    return a->start < b->start ? -1 : a->start > b->start;
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static void add_auxiliary(struct core_image *core, const uint8_t *bytes, size_t size) {
    Elf64_auxv_t entry;
    for (size_t at = 0; size - at >= sizeof entry; at += sizeof entry) {
        memcpy(&entry, bytes + at, sizeof entry);
        if (entry.a_type == AT_PHDR || (entry.a_type == AT_ENTRY && !core->program)) {
            core->program = entry.a_un.a_val;
        } else if (entry.a_type == AT_SYSINFO_EHDR) {
            core->vdso = entry.a_un.a_val;
        }
    }
}

static void add_note(struct core_image *core, uint32_t type, const uint8_t *bytes, size_t size) {
    struct core_thread *thread = core->thread_count ? &core->threads[core->thread_count - 1] : NULL;
    struct elf_prpsinfo process;
    switch (type) {
    case NT_PRSTATUS: add_status(core, bytes, size); break;
    case NT_FILE: add_files(core, bytes, size); break;
    case NT_AUXV: add_auxiliary(core, bytes, size); break;
    case NT_PRPSINFO:
        if (size >= sizeof process) {
            memcpy(&process, bytes, sizeof process);
            core->pid = process.pr_pid > 0 ? process.pr_pid : 0;
            memcpy(core->name, process.pr_fname, sizeof core->name - 1);
        }
        break;
    case NT_SIGINFO:
        if (thread && size >= sizeof thread->info) {
            memcpy(&thread->info, bytes, sizeof thread->info);
            thread->has_info = thread->info.si_signo > 0;
        }
        break;
#ifdef __aarch64__
    case NT_ARM_TLS:
        if (thread && size >= sizeof thread->pointer) {
            memcpy(&thread->pointer, bytes, sizeof thread->pointer);
        }
        break;
    case NT_ARM_SYSTEM_CALL:
        if (thread && size >= sizeof(int)) {
            int number;
            memcpy(&number, bytes, sizeof number);
            thread->call = number;
        }
        break;
#endif
    default: break;
    }
}

/* Everything is aligned to four bytes. The types are told apart by the notes' owners only as far as they clash: they do
 * not. */
void core_notes_read(struct core_image *core, const uint8_t *bytes, size_t size) {
    Elf64_Nhdr note;
    size_t at = 0;
    while (size - at >= sizeof note) {
        memcpy(&note, bytes + at, sizeof note);
        at += sizeof note;
        size_t name = ((size_t)note.n_namesz + 3) & ~(size_t)3, data = ((size_t)note.n_descsz + 3) & ~(size_t)3;
        if (name > size - at || note.n_descsz > size - at - name) {
            return;
        }
        add_note(core, note.n_type, bytes + at + name, note.n_descsz);
        at += name;
        at += data < size - at ? data : size - at;
    }
}

void core_notes_sort(struct core_image *core) {
    if (!core->mapping_count) {
        return;
    }
    size_t kept = 0;
    qsort(core->mappings, core->mapping_count, sizeof *core->mappings, compare_mappings);
    for (size_t i = 0; i < core->mapping_count; i++) {
        if (!kept || core->mappings[i].start >= core->mappings[kept - 1].end) {
            core->mappings[kept++] = core->mappings[i];
        }
    }
    core->mapping_count = kept;
}
