/* The instructions of an entry of .eh_frame, which say at each place of a function where its frame ends, and where the
 * registers of its caller are. Allocates nothing, takes no lock; async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "system/cfi.h"
#include "system/cfi_entry.h"

enum cfi_rule_kind {
    CFI_SAME,
    CFI_UNDEFINED,
    CFI_AT_OFFSET,
    CFI_IS_OFFSET,
    CFI_IN_REGISTER,
    CFI_AT_EXPRESSION,
    CFI_IS_EXPRESSION
};

struct cfi_row {
    struct cfi_rule {
        uint8_t kind;
        int64_t value;
        struct cfi_cursor expression;
    } rules[CFI_REGISTERS], frame; /* the frame's end (CFA): CFI_IN_REGISTER means "register + value" */
    uint64_t frame_register;
};

/* Fills `row` for the function of `entry` when it is at `address`. Returns false if one of the instructions before that is
 * unknown, or remembers more than four rows. */
bool cfi_find_row(const struct cfi_entry *entry, uintptr_t address, struct cfi_row *row);
