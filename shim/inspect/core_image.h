/* A core file as the kernel or a debugger has written it: its segments, and what its notes say. Nothing in it is trusted:
 * it may be cut or damaged. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "system/cfi.h"

/* A piece of the process's memory. */
struct core_segment {
    uintptr_t start, end;
    const uint8_t *bytes;
    size_t stored; /* how much of it is in the core file, from the beginning */
    size_t said;   /* ... and how much should be: more, if the file is cut */
    bool is_executable;
};

/* A file that was mapped (NT_FILE). */
struct core_mapping {
    uintptr_t start, end;
    uint64_t offset;
    const char *path; /* in the core file */
};

/* A thread (NT_PRSTATUS and the notes that follow it). */
struct core_thread {
    pid_t tid;
    int number; /* the signal that it was dying of, or was stopped by; 0: none */
    bool has_info;
    siginfo_t info;
    uint64_t blocked;
    struct cfi_frame registers; /* all are known */
    uintptr_t pointer;          /* the thread pointer; 0: not known */
    long call;                  /* the system call that it was in; -1: none */
    uint64_t arguments[6];
};

struct core_image {
    const uint8_t *bytes;
    size_t size;
    size_t missing;                /* how many bytes are not there: the file is cut */
    struct core_segment *segments; /* in address order */
    size_t segment_count;
    struct core_mapping *mappings; /* in address order */
    size_t mapping_count;
    struct core_thread *threads; /* first the one that the signal was for */
    size_t thread_count;
    pid_t pid;
    char name[16];     /* of the process */
    uintptr_t program; /* an address in the executable; 0: not known */
    uintptr_t vdso;    /* 0: not known */
};

/* Maps the file and reads its headers and notes. Returns false if it is no core file of this machine, or its notes are not
 * there; `reason` then says why, and what would help, in one line. What is read stays for the life of the program. */
bool core_image_open(struct core_image *core, const char *path, char *reason, size_t capacity);

/* Copies what the core file itself has of the memory at `address`. Returns how many bytes, from the beginning. */
size_t core_image_read(const struct core_image *core, uintptr_t address, void *to, size_t size);

/* Returns the segment, the mapping, or the thread; NULL if there is none. */
const struct core_segment *core_image_segment(const struct core_image *core, uintptr_t address);
const struct core_mapping *core_image_mapping(const struct core_image *core, uintptr_t address);
const struct core_thread *core_image_thread(const struct core_image *core, pid_t tid);
