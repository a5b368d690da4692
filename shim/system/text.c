#include "system/text.h"

#include <string.h>

struct text text_start(char *buffer, size_t capacity) {
    return (struct text){buffer, capacity, 0};
}

void text_add_span(struct text *text, const char *string, size_t length) {
    size_t room = text->capacity - text->length;
    /* length == capacity means "cut": the text is at least one byte longer than fits. */
    size_t count = length < room ? length : room;
    memcpy(text->buffer + text->length, string, count);
    text->length += count;
}

void text_add(struct text *text, const char *string) {
    text_add_span(text, string, strlen(string));
}

static void add_number(struct text *text, uint64_t number, unsigned base) {
    char digits[20];
    size_t start = sizeof digits;
    do {
        digits[--start] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number);
    text_add_span(text, digits + start, sizeof digits - start);
}

void text_add_decimal(struct text *text, uint64_t number) {
    add_number(text, number, 10);
}

void text_add_hex(struct text *text, uint64_t number) {
    text_add(text, "0x");
    add_number(text, number, 16);
}

void text_add_seconds(struct text *text, uint64_t ns, unsigned digits) {
    add_number(text, ns / 1000000000u, 10);
    if (!digits) {
        return;
    }
    text_add(text, ".");
    uint64_t unit = 100000000u;
    for (unsigned i = 0; i < digits; i++, unit /= 10) {
        text_add_span(text, &"0123456789"[ns / unit % 10], 1);
    }
}

const char *text_end(struct text *text) {
    if (text->length >= text->capacity) {
        memcpy(text->buffer + text->capacity - 4, "...", 3);
        text->length = text->capacity - 1;
    }
    text->buffer[text->length] = '\0';
    return text->buffer;
}

/* Returns the length of one of our own colour sequences at `c`, or 0 if there is none. */
static size_t color_at(const char *c, size_t length) {
    static const char *const colors[] = {"\033[0m", "\033[1m", "\033[33m", "\033[1;31m"};
    for (size_t i = 0; i < sizeof colors / sizeof colors[0]; i++) {
        size_t size = strlen(colors[i]);
        if (size <= length && memcmp(c, colors[i], size) == 0) {
            return size;
        }
    }
    return 0;
}

size_t text_sequence_at(const char *bytes, size_t length) {
    const unsigned char *c = (const unsigned char *)bytes;
    size_t size = !length                       ? 0
                  : c[0] < 0x80                 ? 1
                  : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                  : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                  : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                : 0;
    if (size > length) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = size && ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90));
    bool is_surrogate = size && c[0] == 0xed && c[1] >= 0xa0;
    bool is_beyond = size && c[0] == 0xf4 && c[1] >= 0x90;
    return is_overlong || is_surrogate || is_beyond ? 0 : size;
}

static bool is_control(const char *at) {
    unsigned char c = (unsigned char)at[0];
    return (c < 0x20 && c != '\t') || c == 0x7f || (c == 0xc2 && (unsigned char)at[1] < 0xa0);
}

/* U+2028 and U+2029 separate lines; U+061C, U+200E, U+200F, U+202A to U+202E and U+2066 to U+2069 change the order in which a
 * terminal shows what is beside them. */
static bool is_formatting(const char *at, size_t size) {
    unsigned char last = (unsigned char)at[size - 1];
    return (size == 2 && memcmp(at, "\xd8\x9c", 2) == 0) ||
           (size == 3 && memcmp(at, "\xe2\x80", 2) == 0 &&
            ((last >= 0xa8 && last <= 0xae) || last == 0x8e || last == 0x8f)) ||
           (size == 3 && memcmp(at, "\xe2\x81", 2) == 0 && last >= 0xa6 && last <= 0xa9);
}

void text_disarm(char *bytes, size_t length, bool may_have_color) {
    for (size_t i = 0; i < length;) {
        size_t color = may_have_color && bytes[i] == '\033' ? color_at(bytes + i, length - i) : 0;
        size_t sequence = text_sequence_at(bytes + i, length - i), size = sequence ? sequence : 1;
        if (!color && (!sequence || is_control(bytes + i) || is_formatting(bytes + i, size))) {
            memset(bytes + i, '?', size);
        }
        i += color ? color : size;
    }
}
