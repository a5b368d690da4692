#include "system/cfi_row.h"

#include <stddef.h>
#include <string.h>

static void set_rule(struct cfi_row *row, uint64_t number, enum cfi_rule_kind kind, int64_t value) {
    if (number < CFI_REGISTERS) {
        row->rules[number] = (struct cfi_rule){.kind = (uint8_t)kind, .value = value};
    }
}

static struct cfi_cursor take_block(struct cfi_cursor *from) {
    uint64_t length = cfi_take_uleb(from);
    uint64_t rest = (uint64_t)(from->end - from->at);
    struct cfi_cursor block = {from->at, from->at + (length < rest ? length : rest)};
    from->at = block.end;
    return block;
}

static void set_expression(struct cfi_row *row, uint64_t number, enum cfi_rule_kind kind,
                           struct cfi_cursor expression) {
    if (number < CFI_REGISTERS) {
        row->rules[number] = (struct cfi_rule){.kind = (uint8_t)kind, .expression = expression};
    }
}

static void set_frame(struct cfi_row *row, uint64_t number, int64_t offset) {
    row->frame = (struct cfi_rule){.kind = CFI_IN_REGISTER, .value = offset};
    row->frame_register = number;
}

enum { REMEMBERED = 4 };

struct machine {
    struct cfi_row row, initial;
    struct cfi_row remembered[REMEMBERED];
    unsigned depth;
    uintptr_t location;
};

/* Runs an operation that uses all eight bits. Returns false if it is unknown, or has no remembered row to use. */
static bool run_plain(struct machine *machine, const struct cfi_entry *entry, struct cfi_cursor *code,
                      uint8_t operation) {
    struct cfi_row *row = &machine->row;
    uint64_t number;
    switch (operation) {
    case 0x00: return true; /* nop */
    case 0x02: machine->location += cfi_take_bytes(code, 1) * entry->code_unit; return true;
    case 0x03: machine->location += cfi_take_bytes(code, 2) * entry->code_unit; return true;
    case 0x04: machine->location += cfi_take_bytes(code, 4) * entry->code_unit; return true;
    case 0x05: /* offset_extended */
        number = cfi_take_uleb(code);
        set_rule(row, number, CFI_AT_OFFSET, (int64_t)cfi_take_uleb(code) * entry->data_unit);
        return true;
    case 0x06: /* restore_extended */
        number = cfi_take_uleb(code);
        if (number < CFI_REGISTERS) {
            row->rules[number] = machine->initial.rules[number];
        }
        return true;
    case 0x07: set_rule(row, cfi_take_uleb(code), CFI_UNDEFINED, 0); return true;
    case 0x08: set_rule(row, cfi_take_uleb(code), CFI_SAME, 0); return true;
    case 0x09: /* register */
        number = cfi_take_uleb(code);
        set_rule(row, number, CFI_IN_REGISTER, (int64_t)cfi_take_uleb(code));
        return true;
    case 0x0a: /* remember_state */
        if (machine->depth == REMEMBERED) {
            return false;
        }
        machine->remembered[machine->depth++] = *row;
        return true;
    case 0x0b: /* restore_state */
        if (!machine->depth) {
            return false;
        }
        *row = machine->remembered[--machine->depth];
        return true;
    case 0x0c: /* def_cfa */
        number = cfi_take_uleb(code);
        set_frame(row, number, (int64_t)cfi_take_uleb(code));
        return true;
    case 0x0d: row->frame_register = cfi_take_uleb(code); return true;
    case 0x0e: row->frame.value = (int64_t)cfi_take_uleb(code); return true;
    case 0x0f: row->frame = (struct cfi_rule){.kind = CFI_IS_EXPRESSION, .expression = take_block(code)}; return true;
    case 0x10: /* expression */
        number = cfi_take_uleb(code);
        set_expression(row, number, CFI_AT_EXPRESSION, take_block(code));
        return true;
    case 0x11: /* offset_extended_sf */
        number = cfi_take_uleb(code);
        set_rule(row, number, CFI_AT_OFFSET, cfi_take_sleb(code) * entry->data_unit);
        return true;
    case 0x12: /* def_cfa_sf */
        number = cfi_take_uleb(code);
        set_frame(row, number, cfi_take_sleb(code) * entry->data_unit);
        return true;
    case 0x13: row->frame.value = cfi_take_sleb(code) * entry->data_unit; return true;
    case 0x14: /* val_offset */
        number = cfi_take_uleb(code);
        set_rule(row, number, CFI_IS_OFFSET, (int64_t)cfi_take_uleb(code) * entry->data_unit);
        return true;
    case 0x16: /* val_expression */
        number = cfi_take_uleb(code);
        set_expression(row, number, CFI_IS_EXPRESSION, take_block(code));
        return true;
    case 0x2d: return true;                      /* aarch64: the return address is signed from here on */
    case 0x2e: cfi_take_uleb(code); return true; /* GNU_args_size */
    default: return false;
    }
}

/* Runs the instructions up to the row of `address`. Returns false if one of them can't be run. */
static bool run(struct machine *machine, const struct cfi_entry *entry, struct cfi_cursor code, uintptr_t address) {
    while (code.at < code.end && machine->location <= address) {
        uint8_t operation = *code.at++;
        uint8_t low = operation & 0x3f;
        switch (operation & 0xc0) {
        case 0x40: machine->location += low * entry->code_unit; break;
        case 0x80: set_rule(&machine->row, low, CFI_AT_OFFSET, (int64_t)cfi_take_uleb(&code) * entry->data_unit); break;
        case 0xc0:
            if (low < CFI_REGISTERS) {
                machine->row.rules[low] = machine->initial.rules[low];
            }
            break;
        default:
            if (!run_plain(machine, entry, &code, operation)) {
                return false;
            }
        }
    }
    return true;
}

bool cfi_find_row(const struct cfi_entry *entry, uintptr_t address, struct cfi_row *row) {
    struct machine machine;
    memset(&machine, 0, sizeof machine);
    if (!run(&machine, entry, entry->common_code, 0)) {
        return false;
    }
    machine.initial = machine.row;
    machine.location = entry->function;
    if (!run(&machine, entry, entry->code, address)) {
        return false;
    }
    *row = machine.row;
    return true;
}
