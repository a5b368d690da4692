/* The files that were mapped when a core file was written. It has not the pages that are as in the file, most of all no
 * code: they are read from the files, if these are still the same. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/core_image.h"

enum core_file_state {
    CORE_FILE_NOT_SOUGHT,
    CORE_FILE_GOOD,     /* its build id is the one in memory, or nothing speaks against it */
    CORE_FILE_MISSING,  /* there is none, or it can't be read, or it is no ELF object */
    CORE_FILE_REPLACED, /* there is another file under the name */
};

enum { CORE_ID = 64 + 1 };

struct core_file {
    const char *path; /* as the process had it */
    bool is_program;  /* it is the process's executable */
    bool is_object;   /* code of it was mapped, and is not in the core file */
    enum core_file_state state;
    char *place; /* where it was found here; NULL */
    const uint8_t *bytes;
    size_t size;
    char wanted[CORE_ID], found[CORE_ID]; /* build ids, in hexadecimal; "": not known */
};

/* The mappings of `core` are those meant below. `program`: the file to take for the executable; NULL: the one of its name.
 * `root`: the folder in which files are looked for, under their whole path and under their last name; NULL: /. Returns false,
 * with the reason in one line, if `program` is not the executable of the core. */
bool core_files_use(const struct core_image *core, const char *program, const char *root, char *reason,
                    size_t capacity);

/* Copies memory of the mapping from its file. Returns how many bytes, from the beginning. */
size_t core_files_read(const struct core_mapping *mapping, uintptr_t address, void *to, size_t size);

/* Opens the mapping's file. Returns -1 if it is not there, or is another one. */
int core_files_open(const struct core_mapping *mapping);

/* Looks for all files of objects. Calls `visit` with each that is missing or has been replaced. */
void core_files_visit_lost(void (*visit)(const struct core_file *file));
