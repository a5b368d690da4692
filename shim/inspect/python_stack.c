#include "inspect/python_stack.h"

#include <string.h>

#include "inspect/code_lines.h"
#include "inspect/interpreter.h"
#include "inspect/python_text.h"
#include "inspect/target.h"
#include "system/text.h"

enum {
    STEPS_MAX = 1000, /* with the frames that are CPython's own */
    LINE_MAX_LENGTH = 2 * 10 * PYTHON_TEXT_CHARACTERS + 100,
    OWNER_NOT_PYTHON = 3, /* 3.12+: FRAME_OWNED_BY_CSTACK, 3.14+ FRAME_OWNED_BY_INTERPRETER and what follows */
    TAG_BITS = 7,         /* 3.13+: of a _PyStackRef; objects are at multiples of 8 at least */
    TLBC_MAX = 1 << 20,
};

/* A frame of Python code. */
struct frame {
    uintptr_t address, code;
    uintptr_t back;
};

static bool has_interpreter_frames(const struct interpreter_cpython *cpython) {
    return cpython->major == 3 && cpython->minor >= 11;
}

static bool first_frame(const struct interpreter_cpython *cpython, uintptr_t state, uintptr_t *frame) {
    const struct layout *layout = &cpython->layout;
    if (!target_read(state + (uintptr_t)layout->state_frame, frame, sizeof *frame)) {
        return false;
    }
    return layout->cframe_frame < 0 || !*frame ||
           target_read(*frame + (uintptr_t)layout->cframe_frame, frame, sizeof *frame);
}

static bool is_code(const struct interpreter_cpython *cpython, uintptr_t object) {
    uintptr_t type;
    return object && target_read(object + (uintptr_t)cpython->layout.object_type, &type, sizeof type) &&
           (!cpython->code_type || type == cpython->code_type);
}

/* Goes from `address` outwards to the first frame of Python code. Returns false at the end; `*is_broken` then says whether the
 * list broke off. */
static bool find_frame(const struct interpreter_cpython *cpython, uintptr_t address, unsigned *steps,
                       struct frame *frame, bool *is_broken) {
    const struct layout *layout = &cpython->layout;
    for (; address && *steps; --*steps, address = frame->back) {
        uint8_t owner = 0;
        frame->address = address;
        if (!target_read(address + (uintptr_t)layout->frame_back, &frame->back, sizeof frame->back) ||
            !target_read(address + (uintptr_t)layout->frame_code, &frame->code, sizeof frame->code) ||
            (layout->frame_owner >= 0 && !target_read(address + (uintptr_t)layout->frame_owner, &owner, 1))) {
            *is_broken = true;
            return false;
        }
        if (has_interpreter_frames(cpython) && cpython->minor >= 13) {
            frame->code &= ~(uintptr_t)TAG_BITS;
        }
        if (owner >= OWNER_NOT_PYTHON) {
            continue;
        }
        if (is_code(cpython, frame->code)) {
            return true;
        }
        if (!has_interpreter_frames(cpython)) { /* each frame has code */
            break;
        }
    }
    *is_broken = address != 0;
    return false;
}

/* Where the code that the frame runs begins: in the code object, or in one of its copies (3.14+ without the GIL). */
static bool start_of_code(const struct layout *layout, const struct frame *frame, uintptr_t *start) {
    uintptr_t array;
    int64_t size;
    int32_t index;
    *start = frame->code + (uintptr_t)layout->code_bytes;
    if (layout->frame_tlbc < 0 || layout->code_tlbc < 0 ||
        !target_read(frame->address + (uintptr_t)layout->frame_tlbc, &index, sizeof index) || index <= 0) {
        return true;
    }
    return index < TLBC_MAX && target_read(frame->code + (uintptr_t)layout->code_tlbc, &array, sizeof array) &&
           target_read(array, &size, sizeof size) && index < size &&
           target_read(array + sizeof size + (uintptr_t)index * sizeof *start, start, sizeof *start);
}

/* The line that the frame is in, or -1. */
static int line_of(const struct interpreter_cpython *cpython, const struct frame *frame) {
    const struct layout *layout = &cpython->layout;
    int index;
    uintptr_t instruction, start;
    if (!has_interpreter_frames(cpython)) {
        if (!target_read(frame->address + (uintptr_t)layout->frame_at, &index, sizeof index)) {
            return -1;
        }
        bool is_counted_in_words = cpython->major == 3 && cpython->minor == 10;
        return code_lines_find(cpython, frame->code, is_counted_in_words ? (int64_t)index * 2 : index);
    }
    if (!target_read(frame->address + (uintptr_t)layout->frame_at, &instruction, sizeof instruction) ||
        !start_of_code(layout, frame, &start)) {
        return -1;
    }
    return code_lines_find(cpython, frame->code, (int64_t)(instruction - start));
}

static void add_frame(const struct interpreter_cpython *cpython, const struct frame *frame, struct text *text) {
    const struct layout *layout = &cpython->layout;
    uintptr_t file = 0, name = 0;
    if (!target_read(frame->code + (uintptr_t)layout->code_file, &file, sizeof file) ||
        !target_read(frame->code + (uintptr_t)layout->code_name, &name, sizeof name)) {
        file = name = 0;
    }
    int line = line_of(cpython, frame);
    text_add(text, "  File \"");
    python_text_add(cpython, file, text);
    text_add(text, "\", line ");
    if (line >= 0) {
        text_add_decimal(text, (uint64_t)line);
    } else {
        text_add(text, "???");
    }
    text_add(text, " in ");
    python_text_add(cpython, name, text);
    text_add(text, "\n");
}

/* Appends the line if it fits. */
static bool append(char *buffer, size_t capacity, size_t *length, const char *line) {
    size_t count = strlen(line);
    if (count >= capacity - *length) {
        return false;
    }
    memcpy(buffer + *length, line, count + 1);
    *length += count;
    return true;
}

const char *python_stack_read(const struct interpreter_cpython *cpython, uintptr_t state, char *buffer,
                              size_t capacity) {
    uintptr_t address;
    struct frame frame = {0};
    size_t length = 0, count = 0;
    unsigned steps = STEPS_MAX;
    bool is_broken = false;
    buffer[0] = '\0';
    if (cpython->reason) {
        return cpython->reason;
    }
    if (!first_frame(cpython, state, &address)) {
        return "it could not be read";
    }
    for (; find_frame(cpython, address, &steps, &frame, &is_broken); address = frame.back) {
        char line[LINE_MAX_LENGTH];
        struct text text = text_start(line, sizeof line);
        if (count++ == PYTHON_STACK_FRAMES) {
            is_broken = true;
            break;
        }
        add_frame(cpython, &frame, &text);
        if (!append(buffer, capacity, &length, text_end(&text))) {
            return NULL;
        }
    }
    if (is_broken) {
        append(buffer, capacity, &length, "  ...\n");
    }
    return length ? NULL : "it runs no Python code";
}

bool python_stack_is_there(const struct interpreter_cpython *cpython, uintptr_t state) {
    uintptr_t address;
    struct frame frame = {0};
    unsigned steps = STEPS_MAX;
    bool is_broken;
    return first_frame(cpython, state, &address) && find_frame(cpython, address, &steps, &frame, &is_broken);
}
