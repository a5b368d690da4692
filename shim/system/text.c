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
