/* The entries of .eh_frame: each describes the frames of one function. Little-endian machines only, like the rest. All is
 * read where the object's bytes are, which may be a copy of another process's (elf_mirror_distance), and nothing is read
 * beyond its segments. Allocates nothing, takes no lock; async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/elf.h"

/* Bytes that are still to be read: [at, end). */
struct cfi_cursor {
    const uint8_t *at, *end;
};

/* Take a number of `count` bytes (at most 8), or one in LEB128, unsigned or signed, and move `from->at` behind it. A number
 * that `end` cuts off is 0, or what there is of it. */
uint64_t cfi_take_bytes(struct cfi_cursor *from, size_t count);
uint64_t cfi_take_uleb(struct cfi_cursor *from);
int64_t cfi_take_sleb(struct cfi_cursor *from);

struct cfi_entry {
    uintptr_t function, size;
    struct cfi_cursor common_code, code; /* of the CIE, of the FDE */
    uint64_t code_unit;
    int64_t data_unit;
    uint64_t return_register;
    bool is_signal_frame;
};

/* Finds the entry of the function that holds `address` by the object's .eh_frame_hdr at `header`; both are addresses where
 * the object's bytes are read. Returns false if there is none, or if it can't be read. */
bool cfi_find_entry(const struct elf_object *object, const uint8_t *header, uintptr_t address, struct cfi_entry *entry);
