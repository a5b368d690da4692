#include "system/json.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static char buffer[4096];

static void members(void) {
    struct json json = json_start(buffer, sizeof buffer);
    json_string(&json, "a", "x");
    json_number(&json, "b", 12);
    json_hex(&json, "c", 0x1f);
    json_hex(&json, "d", 0);
    json_bool(&json, "e", true);
    json_seconds(&json, "f", 1000000001);
    json_string(&json, "g", NULL);
    CHECK(json_open(&json, "h", '['));
    json_number(&json, NULL, 1);
    json_number(&json, NULL, 2);
    json_close(&json, ']');
    CHECK(json_open(&json, "i", '{'));
    json_close(&json, '}');
    struct text text = json_end(&json);
    CHECK(strcmp(text_end(&text),
                 "{\"a\": \"x\", \"b\": 12, \"c\": \"0x1f\", \"d\": null, \"e\": true, \"f\": 1.000000001, "
                 "\"g\": null, \"h\": [1, 2], \"i\": {}}") == 0);
}

static void escapes(void) {
    struct json json = json_start(buffer, sizeof buffer);
    json_string(&json, "a",
                "q\" b\\ n\n \x7f \xc3\xa4 \xff \xc3 \xed\xa0\x80 \xc2\x9b"
                "2J \xc2\xa0");
    struct text text = json_end(&json);
    CHECK(strcmp(text_end(&text), "{\"a\": \"q\\\" b\\\\ n\\u000a \\u007f \xc3\xa4 \\ufffd \\ufffd "
                                  "\\ufffd\\ufffd\\ufffd \\u009b"
                                  "2J \xc2\xa0\"}") == 0);
}

/* However small the buffer: whole members, closed brackets, "cut" where something is missing. */
static void cuts_whole_members(void) {
    for (size_t capacity = 64; capacity < 400; capacity++) {
        char *small = malloc(capacity);
        struct json json = json_start(small, capacity);
        json_string(&json, "first", "0123456789");
        bool is_open = json_open(&json, "list", '[');
        for (int i = 0; is_open && i < 20; i++)
            json_number(&json, NULL, 7777);
        if (is_open)
            json_close(&json, ']');
        struct text text = json_end(&json);
        const char *string = text_end(&text);
        size_t length = strlen(string);
        CHECK(length < capacity && string[length - 1] == '}' && strstr(string, "...") == NULL);
        CHECK(!json.is_cut == (strstr(string, "\"cut\": true") == NULL));
        CHECK(!is_open || strchr(string, ']'));
        free(small);
    }
}

int main(void) {
    RUN(members);
    RUN(escapes);
    RUN(cuts_whole_members);
    return test_end();
}
