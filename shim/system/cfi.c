#include "system/cfi.h"

#include <stddef.h>
#include <string.h>

#include "system/elf.h"

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

struct cursor {
    const uint8_t *at, *end;
};

static uint64_t take_bytes(struct cursor *from, size_t count) {
    uint64_t value = 0;
    if ((size_t)(from->end - from->at) < count) {
        from->at = from->end;
        return 0;
    }
    memcpy(&value, from->at, count); /* little-endian machines only, like the rest */
    from->at += count;
    return value;
}

static uint64_t take_uleb(struct cursor *from) {
    uint64_t value = 0;
    for (unsigned shift = 0; from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (!(byte & 0x80)) {
            break;
        }
    }
    return value;
}

static int64_t take_sleb(struct cursor *from) {
    uint64_t value = 0;
    for (unsigned shift = 0; from->at < from->end;) {
        uint8_t byte = *from->at++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
        if (!(byte & 0x80)) {
            value |= (byte & 0x40) && shift < 64 ? ~(uint64_t)0 << shift : 0;
            break;
        }
    }
    return (int64_t)value;
}

/* DW_EH_PE_*: the low four bits give the format, the next three give what the value is relative to. */
static bool take_encoded(struct cursor *from, uint8_t encoding, uintptr_t data_base, uintptr_t *value) {
    uintptr_t place = (uintptr_t)from->at;
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c: *value = take_bytes(from, 8); break;
    case 0x01: *value = take_uleb(from); break;
    case 0x02: *value = take_bytes(from, 2); break;
    case 0x03: *value = take_bytes(from, 4); break;
    case 0x09: *value = (uintptr_t)take_sleb(from); break;
    case 0x0a: *value = (uintptr_t)(intptr_t)(int16_t)take_bytes(from, 2); break;
    case 0x0b: *value = (uintptr_t)(intptr_t)(int32_t)take_bytes(from, 4); break;
    default: return false;
    }
    switch (encoding & 0x70) {
    case 0x00: return true;
    case 0x10: *value += place; return true;
    case 0x30: *value += data_base; return true;
    default: return false;
    }
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

struct entry {
    uintptr_t function, size;
    struct cursor common_code, code; /* of the CIE, of the FDE */
    uint64_t code_unit;
    int64_t data_unit;
    uint64_t return_register;
    bool is_signal_frame;
};

/* Where an object's bytes are read, which may be damaged: nothing is read beyond its segments. */
struct source {
    const struct elf_object *object;
    uintptr_t distance; /* elf_mirror_distance */
};

static size_t readable(const struct source *source, const uint8_t *at) {
    return elf_readable_from(source->object, (uintptr_t)at - source->distance);
}

static size_t rest_of(const struct cursor *from) {
    return (size_t)(from->end - from->at);
}

static bool open_record(const struct source *source, const uint8_t *at, struct cursor *record) {
    record->at = at;
    record->end = at + readable(source, at);
    uint64_t length = take_bytes(record, 4);
    if (length == 0xffffffff) {
        length = take_bytes(record, 8);
    }
    bool is_inside = length != 0 && length <= rest_of(record);
    record->end = is_inside ? record->at + length : record->at;
    return is_inside;
}

/* Takes a length and that many bytes. */
static bool take_part(struct cursor *from, struct cursor *part) {
    uint64_t length = take_uleb(from);
    if (length > rest_of(from)) {
        return false;
    }
    part->at = from->at;
    part->end = from->at += length;
    return true;
}

static bool read_common(const struct source *source, const uint8_t *at, struct entry *entry, uint8_t *pointer_encoding,
                        bool *has_data) {
    struct cursor record;
    if (!open_record(source, at, &record) || take_bytes(&record, 4) != 0) {
        return false;
    }
    uint64_t version = take_bytes(&record, 1);
    const char *augmentation = (const char *)record.at;
    const uint8_t *end = memchr(record.at, '\0', rest_of(&record));
    if (!end) {
        return false;
    }
    record.at = end + 1;
    if ((version != 1 && version != 3) || strcmp(augmentation, "eh") == 0) {
        return false;
    }
    entry->code_unit = take_uleb(&record);
    entry->data_unit = take_sleb(&record);
    entry->return_register = version == 1 ? take_bytes(&record, 1) : take_uleb(&record);
    *pointer_encoding = 0;
    *has_data = augmentation[0] == 'z';
    if (*has_data) {
        struct cursor data;
        if (!take_part(&record, &data)) {
            return false;
        }
        for (const char *letter = augmentation + 1; *letter; letter++) {
            uintptr_t unused;
            if (*letter == 'R') {
                *pointer_encoding = (uint8_t)take_bytes(&data, 1);
            } else if (*letter == 'L') {
                take_bytes(&data, 1);
            } else if (*letter == 'P') {
                uint8_t encoding = (uint8_t)take_bytes(&data, 1);
                take_encoded(&data, encoding & 0x7f, 0, &unused);
            } else if (*letter == 'S') {
                entry->is_signal_frame = true;
            }
        }
    }
    entry->common_code = record;
    return true;
}

static bool read_entry(const struct source *source, const uint8_t *at, struct entry *entry) {
    struct cursor record;
    uint8_t encoding;
    bool has_data;
    memset(entry, 0, sizeof *entry);
    if (!open_record(source, at, &record)) {
        return false;
    }
    const uint8_t *place = record.at;
    uint64_t distance = take_bytes(&record, 4);
    if (!distance || !read_common(source, place - distance, entry, &encoding, &has_data) ||
        !take_encoded(&record, encoding, 0, &entry->function) ||
        !take_encoded(&record, encoding & 0x0f, 0, &entry->size)) {
        return false;
    }
    struct cursor unused;
    if (has_data && !take_part(&record, &unused)) {
        return false;
    }
    entry->code = record;
    return true;
}

/* Finds the entry of the function that holds `address` in .eh_frame_hdr, which has a sorted table of all functions.
 * Returns false if there is none. */
static bool find_entry(const struct source *source, const uint8_t *header, uintptr_t address, struct entry *entry) {
    enum { TABLE_ENCODING = 0x3b /* data-relative, four bytes: the only one that linkers write */ };
    size_t size = readable(source, header);
    struct cursor from = {header + 4, header + size};
    uintptr_t unused, count;
    if (size < 4 || header[0] != 1 || header[3] != TABLE_ENCODING ||
        !take_encoded(&from, header[1], (uintptr_t)header, &unused) ||
        !take_encoded(&from, header[2], (uintptr_t)header, &count) || !count) {
        return false;
    }
    const uint8_t *table = from.at;
    intptr_t sought = (intptr_t)(address - (uintptr_t)header);
    size_t first = 0, behind = count;
    int32_t pair[2];
    if (count > rest_of(&from) / sizeof pair) {
        return false;
    }
    while (behind - first > 1) {
        size_t middle = first + (behind - first) / 2;
        memcpy(pair, table + middle * sizeof pair, sizeof pair);
        if (pair[0] <= sought) {
            first = middle;
        } else {
            behind = middle;
        }
    }
    memcpy(pair, table + first * sizeof pair, sizeof pair);
    return pair[0] <= sought && read_entry(source, header + pair[1], entry) && address - entry->function < entry->size;
}

/* ---- the program of an entry ------------------------------------------------------------------------------------ */

enum rule_kind { SAME, UNDEFINED, AT_OFFSET, IS_OFFSET, IN_REGISTER, AT_EXPRESSION, IS_EXPRESSION };

struct row {
    struct rule {
        uint8_t kind;
        int64_t value;
        struct cursor expression;
    } rules[CFI_REGISTERS], frame; /* the frame's end (CFA): IN_REGISTER means "register + value" */
    uint64_t frame_register;
};

static void set_rule(struct row *row, uint64_t number, enum rule_kind kind, int64_t value) {
    if (number < CFI_REGISTERS) {
        row->rules[number] = (struct rule){.kind = (uint8_t)kind, .value = value};
    }
}

static struct cursor take_block(struct cursor *from) {
    uint64_t length = take_uleb(from);
    uint64_t rest = (uint64_t)(from->end - from->at);
    struct cursor block = {from->at, from->at + (length < rest ? length : rest)};
    from->at = block.end;
    return block;
}

static void set_expression(struct row *row, uint64_t number, enum rule_kind kind, struct cursor expression) {
    if (number < CFI_REGISTERS) {
        row->rules[number] = (struct rule){.kind = (uint8_t)kind, .expression = expression};
    }
}

static void set_frame(struct row *row, uint64_t number, int64_t offset) {
    row->frame = (struct rule){.kind = IN_REGISTER, .value = offset};
    row->frame_register = number;
}

enum { REMEMBERED = 4 };

struct machine {
    struct row row, initial;
    struct row remembered[REMEMBERED];
    unsigned depth;
    uintptr_t location;
};

/* Runs an operation that uses all eight bits. Returns false if it is unknown, or has no remembered row to use. */
static bool run_plain(struct machine *machine, const struct entry *entry, struct cursor *code, uint8_t operation) {
    struct row *row = &machine->row;
    uint64_t number;
    switch (operation) {
    case 0x00: return true; /* nop */
    case 0x02: machine->location += take_bytes(code, 1) * entry->code_unit; return true;
    case 0x03: machine->location += take_bytes(code, 2) * entry->code_unit; return true;
    case 0x04: machine->location += take_bytes(code, 4) * entry->code_unit; return true;
    case 0x05: /* offset_extended */
        number = take_uleb(code);
        set_rule(row, number, AT_OFFSET, (int64_t)take_uleb(code) * entry->data_unit);
        return true;
    case 0x06: /* restore_extended */
        number = take_uleb(code);
        if (number < CFI_REGISTERS) {
            row->rules[number] = machine->initial.rules[number];
        }
        return true;
    case 0x07: set_rule(row, take_uleb(code), UNDEFINED, 0); return true;
    case 0x08: set_rule(row, take_uleb(code), SAME, 0); return true;
    case 0x09: /* register */
        number = take_uleb(code);
        set_rule(row, number, IN_REGISTER, (int64_t)take_uleb(code));
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
        number = take_uleb(code);
        set_frame(row, number, (int64_t)take_uleb(code));
        return true;
    case 0x0d: row->frame_register = take_uleb(code); return true;
    case 0x0e: row->frame.value = (int64_t)take_uleb(code); return true;
    case 0x0f: row->frame = (struct rule){.kind = IS_EXPRESSION, .expression = take_block(code)}; return true;
    case 0x10: /* expression */
        number = take_uleb(code);
        set_expression(row, number, AT_EXPRESSION, take_block(code));
        return true;
    case 0x11: /* offset_extended_sf */
        number = take_uleb(code);
        set_rule(row, number, AT_OFFSET, take_sleb(code) * entry->data_unit);
        return true;
    case 0x12: /* def_cfa_sf */
        number = take_uleb(code);
        set_frame(row, number, take_sleb(code) * entry->data_unit);
        return true;
    case 0x13: row->frame.value = take_sleb(code) * entry->data_unit; return true;
    case 0x14: /* val_offset */
        number = take_uleb(code);
        set_rule(row, number, IS_OFFSET, (int64_t)take_uleb(code) * entry->data_unit);
        return true;
    case 0x16: /* val_expression */
        number = take_uleb(code);
        set_expression(row, number, IS_EXPRESSION, take_block(code));
        return true;
    case 0x2d: return true;                  /* aarch64: the return address is signed from here on */
    case 0x2e: take_uleb(code); return true; /* GNU_args_size */
    default: return false;
    }
}

/* Runs the instructions up to the row of `address`. Returns false if one of them can't be run. */
static bool run(struct machine *machine, const struct entry *entry, struct cursor code, uintptr_t address) {
    while (code.at < code.end && machine->location <= address) {
        uint8_t operation = *code.at++;
        uint8_t low = operation & 0x3f;
        switch (operation & 0xc0) {
        case 0x40: machine->location += low * entry->code_unit; break;
        case 0x80: set_rule(&machine->row, low, AT_OFFSET, (int64_t)take_uleb(&code) * entry->data_unit); break;
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

static bool find_row(const struct entry *entry, uintptr_t address, struct row *row) {
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

/* ---- a step ----------------------------------------------------------------------------------------------------- */

typedef bool reader(uintptr_t address, uintptr_t *word);

static bool register_of(const struct cfi_frame *frame, uint64_t number, uintptr_t *value) {
    if (number >= CFI_REGISTERS || !(frame->known & 1ull << number)) {
        return false;
    }
    *value = frame->values[number];
    return true;
}

/* Evaluates a DWARF expression, with the operations that glibc and the kernel use for the frames of signal handlers.
 * Returns false for any other operation, and if a register or a word of memory is not known. */
static bool evaluate(const struct cfi_frame *frame, struct cursor code, reader *read, const uintptr_t *first,
                     uintptr_t *result) {
    uintptr_t stack[8];
    size_t depth = 0;
    if (first) {
        stack[depth++] = *first;
    }
    while (code.at < code.end) {
        uint8_t operation = *code.at++;
        if (depth == sizeof stack / sizeof stack[0]) {
            return false;
        }
        if (operation >= 0x70 && operation <= 0x8f) { /* breg0 to breg31 */
            uintptr_t value;
            if (!register_of(frame, operation - 0x70u, &value)) {
                return false;
            }
            stack[depth++] = value + (uintptr_t)take_sleb(&code);
        } else if (operation >= 0x30 && operation <= 0x4f) { /* lit0 to lit31 */
            stack[depth++] = operation - 0x30u;
        } else if (operation == 0x06 && depth >= 1) { /* deref */
            if (!read(stack[depth - 1], &stack[depth - 1])) {
                return false;
            }
        } else if (operation == 0x23 && depth >= 1) { /* plus_uconst */
            stack[depth - 1] += take_uleb(&code);
        } else if (operation == 0x22 && depth >= 2) { /* plus */
            depth--;
            stack[depth - 1] += stack[depth];
        } else {
            return false;
        }
    }
    *result = depth ? stack[depth - 1] : 0;
    return depth > 0;
}

static bool find_value(const struct cfi_frame *frame, const struct rule *rule, unsigned number, uintptr_t end,
                       reader *read, uintptr_t *value) {
    uintptr_t place;
    switch (rule->kind) {
    case AT_OFFSET: return read(end + (uintptr_t)rule->value, value);
    case IS_OFFSET: *value = end + (uintptr_t)rule->value; return true;
    case IN_REGISTER: return register_of(frame, (uint64_t)rule->value, value);
    case AT_EXPRESSION: return evaluate(frame, rule->expression, read, &end, &place) && read(place, value);
    case IS_EXPRESSION: return evaluate(frame, rule->expression, read, &end, value);
    case SAME: return number != CFI_STACK && register_of(frame, number, value);
    default: return false;
    }
}

static enum cfi_result step(struct cfi_frame *frame, const struct entry *entry, const struct row *row, reader *read) {
    struct cfi_frame caller = {.is_call = !entry->is_signal_frame};
    uintptr_t end, back;
    if (entry->return_register >= CFI_REGISTERS) {
        return CFI_LOST;
    }
    if (row->rules[entry->return_register].kind == UNDEFINED) {
        return CFI_OUTERMOST;
    }
    if (row->frame.kind == IS_EXPRESSION) {
        if (!evaluate(frame, row->frame.expression, read, NULL, &end)) {
            return CFI_LOST;
        }
    } else if (register_of(frame, row->frame_register, &end)) {
        end += (uintptr_t)row->frame.value;
    } else {
        return CFI_LOST;
    }
    for (unsigned i = 0; i < CFI_REGISTERS; i++) {
        if (find_value(frame, &row->rules[i], i, end, read, &caller.values[i])) {
            caller.known |= 1ull << i;
        }
    }
    if (!(caller.known & 1ull << CFI_STACK)) {
        caller.values[CFI_STACK] = end;
        caller.known |= 1ull << CFI_STACK;
    }
    if (!find_value(frame, &row->rules[entry->return_register], (unsigned)entry->return_register, end, read, &back)) {
        return CFI_LOST;
    }
    caller.pc = cfi_return_address(back);
    bool moves_up = caller.values[CFI_STACK] > frame->values[CFI_STACK] || entry->is_signal_frame || !frame->is_call;
    if (!caller.pc || !moves_up) {
        return CFI_OUTERMOST;
    }
    *frame = caller;
    return CFI_STEPPED;
}

/* Sets the register by which the function finds its frame so that its return address lies at `place`. */
static bool place_frame(struct cfi_frame *frame, const struct entry *entry, const struct row *row, uintptr_t place) {
    uint64_t back = entry->return_register, number = row->frame_register;
    if (back >= CFI_REGISTERS || number >= CFI_REGISTERS || row->rules[back].kind != AT_OFFSET ||
        row->frame.kind != IN_REGISTER) {
        return false;
    }
    uintptr_t value = place - (uintptr_t)row->rules[back].value - (uintptr_t)row->frame.value;
    if (frame->known & 1ull << number) {
        return frame->values[number] == value;
    }
    frame->values[number] = value;
    frame->known |= 1ull << number;
    return true;
}

/* All the work is done inside the visit, because the object may be unloaded afterwards. */
struct search {
    uintptr_t address;
    struct cfi_frame *frame;
    reader *read;
    const uintptr_t *place; /* of the return address, if it was found without a step */
    enum cfi_result result;
    struct cfi_shape shape;
};

static bool look(const struct elf_object *object, void *argument) {
    struct search *search = argument;
    uintptr_t header = 0;
    bool is_inside = false;
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t start = object->bias + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && search->address - start < segment->p_memsz) {
            is_inside = (segment->p_flags & PF_X) != 0;
        } else if (segment->p_type == PT_GNU_EH_FRAME) {
            header = start;
        }
    }
    if (!is_inside || !header) {
        return is_inside;
    }
    struct entry entry;
    struct row row;
    uintptr_t distance = elf_mirror_distance(object); /* entries are relative to where they are read */
    struct source source = {object, distance};
    uintptr_t address = search->address + distance;
    if (find_entry(&source, (const uint8_t *)(header + distance), address, &entry) && find_row(&entry, address, &row)) {
        bool is_outermost = entry.return_register < CFI_REGISTERS && row.rules[entry.return_register].kind == UNDEFINED;
        bool is_by_stack = row.frame.kind == IN_REGISTER && row.frame_register == CFI_STACK;
        search->shape =
            (struct cfi_shape){entry.function - distance, is_outermost, is_by_stack, (uintptr_t)row.frame.value};
        if (search->frame && (!search->place || place_frame(search->frame, &entry, &row, *search->place))) {
            search->result = step(search->frame, &entry, &row, search->read);
        }
    }
    return true;
}

enum cfi_result cfi_step(struct cfi_frame *frame, bool (*read)(uintptr_t address, uintptr_t *word),
                         uintptr_t *function) {
    struct search search = {
        .address = frame->pc - (frame->is_call ? 1 : 0), .frame = frame, .read = read, .result = CFI_LOST};
    elf_visit(look, &search);
    *function = search.shape.function;
    return search.result;
}

bool cfi_step_over(struct cfi_frame *frame, uintptr_t place, bool (*read)(uintptr_t address, uintptr_t *word)) {
    struct cfi_frame placed = *frame;
    struct search search = {.address = frame->pc - (frame->is_call ? 1 : 0),
                            .frame = &placed,
                            .read = read,
                            .place = &place,
                            .result = CFI_LOST};
    elf_visit(look, &search);
    if (search.result != CFI_STEPPED) {
        return false;
    }
    *frame = placed;
    return true;
}

bool cfi_shape(uintptr_t pc, bool is_call, struct cfi_shape *shape) {
    struct search search = {.address = pc - (is_call ? 1 : 0)};
    elf_visit(look, &search);
    *shape = search.shape;
    return search.shape.function != 0;
}
