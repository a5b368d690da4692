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

static bool disarmed_is(const char *before, bool may_have_color, const char *after) {
    size_t length = strlen(before);
    char *bytes = malloc(length); /* of its exact size */
    memcpy(bytes, before, length);
    text_disarm(bytes, length, may_have_color);
    bool is_so = strlen(after) == length && memcmp(bytes, after, length) == 0;
    free(bytes);
    return is_so;
}

static void disarms(void) {
    CHECK(disarmed_is("a\tb \xc3\xa4 \xf0\x9f\x90\x8d", false, "a\tb \xc3\xa4 \xf0\x9f\x90\x8d"));
    CHECK(disarmed_is("\033[1;31mred\033[0m\033[2J\n\x7f", true, "\033[1;31mred\033[0m?[2J??"));
    CHECK(disarmed_is("\033[1;31mred\033[0m", false, "?[1;31mred?[0m")); /* it is not ours */
    CHECK(disarmed_is("\xc2\x9b"
                      "2J \xc2\xa0",
                      false, "??2J \xc2\xa0"));
    CHECK(disarmed_is("\x9b"
                      "2J \xff\xed\xa0\x80\xc0\x9b\xe2\x82",
                      false, "?2J ????????"));
    CHECK(disarmed_is("\xc3", false, "?"));
    /* lines and directions; before, between and after them are a hyphen, an ellipsis and such */
    CHECK(disarmed_is("\xe2\x80\xa8\xe2\x80\xae"
                      "os.so\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c",
                      false, "??????os.so??????????????"));
    CHECK(disarmed_is("\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa\xe2\x82\xa8", false,
                      "\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa\xe2\x82\xa8"));
}

int main(void) {
    RUN(disarms);
    RUN(adds_strings_and_numbers);
    RUN(is_empty_at_first);
    RUN(cuts_what_does_not_fit);
    return test_end();
}
