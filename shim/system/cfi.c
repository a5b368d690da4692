#include "system/cfi.h"

#include <stddef.h>

#include "system/cfi_entry.h"
#include "system/cfi_row.h"
#include "system/elf.h"

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
static bool evaluate(const struct cfi_frame *frame, struct cfi_cursor code, reader *read, const uintptr_t *first,
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
            stack[depth++] = value + (uintptr_t)cfi_take_sleb(&code);
        } else if (operation >= 0x30 && operation <= 0x4f) { /* lit0 to lit31 */
            stack[depth++] = operation - 0x30u;
        } else if (operation == 0x06 && depth >= 1) { /* deref */
            if (!read(stack[depth - 1], &stack[depth - 1])) {
                return false;
            }
        } else if (operation == 0x23 && depth >= 1) { /* plus_uconst */
            stack[depth - 1] += cfi_take_uleb(&code);
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

static bool find_value(const struct cfi_frame *frame, const struct cfi_rule *rule, unsigned number, uintptr_t end,
                       reader *read, uintptr_t *value) {
    uintptr_t place;
    switch (rule->kind) {
    case CFI_AT_OFFSET: return read(end + (uintptr_t)rule->value, value);
    case CFI_IS_OFFSET: *value = end + (uintptr_t)rule->value; return true;
    case CFI_IN_REGISTER: return register_of(frame, (uint64_t)rule->value, value);
    case CFI_AT_EXPRESSION: return evaluate(frame, rule->expression, read, &end, &place) && read(place, value);
    case CFI_IS_EXPRESSION: return evaluate(frame, rule->expression, read, &end, value);
    case CFI_SAME: return number != CFI_STACK && register_of(frame, number, value);
    default: return false;
    }
}

static enum cfi_result step(struct cfi_frame *frame, const struct cfi_entry *entry, const struct cfi_row *row,
                            reader *read) {
    struct cfi_frame caller = {.is_call = !entry->is_signal_frame};
    uintptr_t end, back;
    if (entry->return_register >= CFI_REGISTERS) {
        return CFI_LOST;
    }
    if (row->rules[entry->return_register].kind == CFI_UNDEFINED) {
        return CFI_OUTERMOST;
    }
    if (row->frame.kind == CFI_IS_EXPRESSION) {
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
static bool place_frame(struct cfi_frame *frame, const struct cfi_entry *entry, const struct cfi_row *row,
                        uintptr_t place) {
    uint64_t back = entry->return_register, number = row->frame_register;
    if (back >= CFI_REGISTERS || number >= CFI_REGISTERS || row->rules[back].kind != CFI_AT_OFFSET ||
        row->frame.kind != CFI_IN_REGISTER) {
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
    struct cfi_entry entry;
    struct cfi_row row;
    uintptr_t distance = elf_mirror_distance(object); /* entries are relative to where they are read */
    uintptr_t address = search->address + distance;
    if (cfi_find_entry(object, (const uint8_t *)(header + distance), address, &entry) &&
        cfi_find_row(&entry, address, &row)) {
        bool is_outermost =
            entry.return_register < CFI_REGISTERS && row.rules[entry.return_register].kind == CFI_UNDEFINED;
        bool is_by_stack = row.frame.kind == CFI_IN_REGISTER && row.frame_register == CFI_STACK;
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
