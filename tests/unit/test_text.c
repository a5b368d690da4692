#include "system/text.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static void adds_strings_and_numbers(void) {
    char buffer[200];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "a ");
    text_add_span(&text, "bcd", 2);
    text_add(&text, " ");
    text_add_decimal(&text, 0);
    text_add(&text, " ");
    text_add_decimal(&text, UINT64_MAX);
    text_add(&text, " ");
    text_add_hex(&text, 0);
    text_add(&text, " ");
    text_add_hex(&text, UINT64_MAX);
    CHECK(strcmp(text_end(&text), "a bc 0 18446744073709551615 0x0 0xffffffffffffffff") == 0);
    CHECK(text.length == strlen(buffer));
}

static void is_empty_at_first(void) {
    char buffer[8];
    struct text text = text_start(buffer, sizeof buffer);
    CHECK(strcmp(text_end(&text), "") == 0);
}

/* In buffers of their exact size on the heap, so that the sanitizer sees one byte too much. */
static void cuts_what_does_not_fit(void) {
    const char *words = "0123456789012345678901234567890123456789";
    for (size_t capacity = 8; capacity < 30; capacity++) {
        for (size_t length = 0; length <= 40; length++) {
            char *buffer = malloc(capacity);
            struct text text = text_start(buffer, capacity);
            text_add_span(&text, words, length);
            text_add(&text, "");
            text_add_decimal(&text, 7);
            text_end(&text);
            CHECK(strlen(buffer) < capacity);
            if (length + 1 < capacity) {
                CHECK(strlen(buffer) == length + 1 && buffer[length] == '7');
            } else {
                CHECK(strstr(buffer, "...") != NULL);
            }
            free(buffer);
        }
    }
}

int main(void) {
    RUN(adds_strings_and_numbers);
    RUN(is_empty_at_first);
    RUN(cuts_what_does_not_fit);
    return test_end();
}
