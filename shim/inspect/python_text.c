#include "inspect/python_text.h"

#include "inspect/interpreter.h"
#include "inspect/target.h"

enum { LENGTH_MAX = 1 << 30, CHARACTER_SIZE_MAX = 4 };

static void add_digits(struct text *text, const char *prefix, uint32_t number, int digits) {
    text_add(text, prefix);
    for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) {
        text_add_span(text, &"0123456789abcdef"[number >> shift & 15], 1);
    }
}

static void add_character(struct text *text, uint32_t character) {
    char plain = (char)character;
    if (character >= ' ' && character < 127) {
        text_add_span(text, &plain, 1);
    } else if (character <= 0xff) {
        add_digits(text, "\\x", character, 2);
    } else if (character <= 0xffff) {
        add_digits(text, "\\u", character, 4);
    } else {
        add_digits(text, "\\U", character, 8);
    }
}

/* Finds the characters of a str. Returns false if it is none. */
static bool find_characters(const struct layout *layout, uintptr_t object, uintptr_t *data, int64_t *length,
                            unsigned *size) {
    uint32_t state;
    if (!target_read(object + (uintptr_t)layout->text_length, length, sizeof *length) ||
        !target_read(object + (uintptr_t)layout->text_state, &state, sizeof state)) {
        return false;
    }
    *size = state >> layout->text_kind & 7;
    if (*size != 1 && *size != 2 && *size != 4) { /* a str that is not ready, up to 3.11, is no name in a code object */
        return false;
    }
    bool is_compact = state >> layout->text_is_compact & 1, is_ascii = state >> layout->text_is_ascii & 1;
    if (!is_compact) {
        return target_read(object + (uintptr_t)layout->text_compact, data, sizeof *data);
    }
    *data = object + (uintptr_t)(is_ascii ? layout->text_ascii : layout->text_compact);
    return true;
}

void python_text_add(const struct interpreter_cpython *cpython, uintptr_t object, struct text *text) {
    const struct layout *layout = &cpython->layout;
    uint8_t bytes[PYTHON_TEXT_CHARACTERS * CHARACTER_SIZE_MAX];
    uintptr_t data = object + (uintptr_t)layout->bytes_data;
    int64_t length;
    unsigned size = 1;
    bool is_found = cpython->major == 2 ? target_read(object + (uintptr_t)layout->bytes_size, &length, sizeof length)
                                        : find_characters(layout, object, &data, &length, &size);
    if (!is_found || length < 0 || length > LENGTH_MAX) {
        text_add(text, "???");
        return;
    }
    size_t count = length < PYTHON_TEXT_CHARACTERS ? (size_t)length : PYTHON_TEXT_CHARACTERS;
    if (count && !target_read(data, bytes, count * size)) {
        text_add(text, "???");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + i * size;
        uint32_t character = at[0];
        for (unsigned j = 1; j < size; j++) {
            character |= (uint32_t)at[j] << 8 * j; /* both processors are little-endian */
        }
        add_character(text, character);
    }
    if ((int64_t)count < length) {
        text_add(text, "...");
    }
}
