/* The process that is looked at. It is read from outside: it is not stopped, nothing runs in it, and nothing of it
 * changes. So whatever is read may be changing meanwhile, or be garbage: nothing of it is trusted.
 *
 * All addresses are the target's. All functions are for one thread, that of main(). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/cfi.h"
#include "system/elf.h"
#include "system/symtab.h"

/* A mapping of the target's, as in /proc/PID/maps. */
struct target_mapping {
    uintptr_t start, end;
    uint64_t offset; /* in the file */
    bool is_file;
    bool is_executable;
    const char *name; /* path in the target's mount namespace, or "[vdso]", "[heap]", "" */
};

/* Where the target's memory, threads and files come from. */
struct target_source {
    /* Copies memory. Returns how many bytes could be copied, from the beginning. */
    size_t (*read)(uintptr_t address, void *to, size_t size);
    /* As target_threads. */
    size_t (*threads)(pid_t *tids, size_t capacity);
    /* Calls `visit` for each mapping, in address order. */
    void (*mappings)(void (*visit)(const struct target_mapping *mapping));
    /* Opens the file that is mapped there, for reading. Returns -1 if that can't be done. It may be another file of that
     * name by now. */
    int (*open)(const struct target_mapping *mapping);
    /* As thread_read_file: what the kernel says of a thread in /proc/PID/task/TID/NAME. */
    size_t (*thread_file)(pid_t tid, const char *name, char *buffer, size_t capacity);
    /* As threads_descriptor. */
    uintptr_t (*descriptor)(pid_t tid);
    /* Fills in the registers of a thread, all that are known. Returns false if none is: the process is running. */
    bool (*registers)(pid_t tid, struct cfi_frame *frame);
    bool is_core; /* nothing in it moves */
};

/* Makes the source the target's. `pid` is what reports call the process. */
void target_use(const struct target_source *source, pid_t pid);

pid_t target_pid(void);
const struct target_source *target_source(void);

/* Returns the time that it is in the target, in ns of CLOCK_MONOTONIC: the present, or in a core file the time of the last
 * event of the shim's journal. */
uint64_t target_now(void);

/* Copies memory. Returns false unless all of it could be read. */
bool target_read(uintptr_t address, void *to, size_t size);

/* Copies a string, up to its end, up to `capacity` - 1 characters, or up to where memory ends. Always ends it with a 0
 * byte. Returns false if not even one character could be read. */
bool target_read_string(uintptr_t address, char *to, size_t capacity);

/* Fills `tids` with the threads, as the kernel numbers them for us. Returns how many there are, which may be more than
 * `capacity`. */
size_t target_threads(pid_t *tids, size_t capacity);

/* Returns the thread that has the number `id` for itself, as memory has it, or 0. The numbers differ if the target is in
 * a pid namespace of its own. */
pid_t target_thread_of(pid_t id);

/* ---- loaded objects (objects.c) --------------------------------------------------------------------------------- */

/* An object that is loaded in the target. Its file is mapped here if it is the one that was loaded; otherwise it was
 * copied from the target's memory, and has no .symtab. */
struct target_object {
    struct elf_object
        elf; /* bias and addresses are the target's; what pointers point to is here. name: as ld.so has it */
    uintptr_t start, end;
    uintptr_t
        distance; /* from an address of the target's to where its bytes are here; 0: too large to copy, without segments */
    const char *path;   /* of its file, in the target's mount namespace */
    struct symtab file; /* bytes: NULL if there is no file */
};

/* Sets `*all` to the first of all objects that are loaded in the target, in address order. Returns how many there are.
 * They stay until they are found anew (objects.h). */
size_t target_objects(const struct target_object **all);

/* Finds a definition by name: in .dynsym, then, of CPython and the shim, in .symtab, functions and variables. `size` may be NULL. Returns false if there
 * is none. */
bool target_symbol(const struct target_object *object, const char *name, uintptr_t *address, size_t *size);
