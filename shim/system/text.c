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

void text_disarm(char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        size_t color = c == '\033' ? color_at(bytes + i, length - i) : 0;
        if (color) {
            i += color - 1;
        } else if ((c < 0x20 && c != '\t') || c == 0x7f) {
            bytes[i] = '?';
        } else if (c == 0xc2 && i + 1 < length && ((unsigned char)bytes[i + 1] & 0xe0) == 0x80) {
            bytes[i] = bytes[i + 1] = '?';
        }
    }
}
