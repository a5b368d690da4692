#include "system/json.h"

#include <string.h>

enum { RESERVE = 40 }; /* for closing brackets and "cut" */

struct json json_start(char *buffer, size_t capacity) {
    struct json json = {.text = text_start(buffer, capacity), .depth = 1};
    text_add(&json.text, "{");
    return json;
}

/* A member is written as if there were room, and removed again if there was not. */
struct mark {
    size_t length;
    bool needs_comma;
};

static struct mark begin(struct json *json, const char *key) {
    struct mark mark = {json->text.length, json->needs_comma};
    if (json->needs_comma) {
        text_add(&json->text, ", ");
    }
    if (key) {
        text_add(&json->text, "\"");
        text_add(&json->text, key);
        text_add(&json->text, "\": ");
    }
    json->needs_comma = true;
    return mark;
}

static bool end(struct json *json, struct mark mark) {
    if (json->text.length + RESERVE + json->depth > json->text.capacity) {
        json->text.length = mark.length;
        json->needs_comma = mark.needs_comma;
        json->is_cut = true;
        return false;
    }
    return true;
}

/* Returns the length of the UTF-8 sequence at `c`, or 0 if there is no valid one. */
static size_t sequence_at(const unsigned char *c) {
    size_t length = c[0] < 0x80                   ? 1
                    : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                    : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; i++) {
        if ((c[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool is_surrogate = c[0] == 0xed && c[1] >= 0xa0;
    bool is_beyond = c[0] == 0xf4 && c[1] >= 0x90;
    return is_overlong || is_surrogate || is_beyond ? 0 : length;
}

static void add_escaped(struct text *text, const char *value) {
    for (const unsigned char *c = (const unsigned char *)value; *c;) {
        size_t length = sequence_at(c);
        if (length == 0) {
            text_add(text, "\\ufffd");
            c++;
        } else if (*c == '"' || *c == '\\') {
            text_add(text, "\\");
            text_add_span(text, (const char *)c++, 1);
        } else if (*c < 0x20 || *c == 0x7f) {
            const char digits[] = {'\\', 'u', '0', '0', "0123456789abcdef"[*c >> 4], "0123456789abcdef"[*c & 15]};
            text_add_span(text, digits, sizeof digits);
            c++;
        } else {
            text_add_span(text, (const char *)c, length);
            c += length;
        }
    }
}

void json_string(struct json *json, const char *key, const char *value) {
    struct mark mark = begin(json, key);
    if (value) {
        text_add(&json->text, "\"");
        add_escaped(&json->text, value);
        text_add(&json->text, "\"");
    } else {
        text_add(&json->text, "null");
    }
    end(json, mark);
}

void json_number(struct json *json, const char *key, uint64_t value) {
    struct mark mark = begin(json, key);
    text_add_decimal(&json->text, value);
    end(json, mark);
}

void json_hex(struct json *json, const char *key, uint64_t value) {
    struct mark mark = begin(json, key);
    if (value) {
        text_add(&json->text, "\"");
        text_add_hex(&json->text, value);
        text_add(&json->text, "\"");
    } else {
        text_add(&json->text, "null");
    }
    end(json, mark);
}

void json_seconds(struct json *json, const char *key, uint64_t ns) {
    struct mark mark = begin(json, key);
    text_add_seconds(&json->text, ns, 9);
    end(json, mark);
}

void json_bool(struct json *json, const char *key, bool value) {
    struct mark mark = begin(json, key);
    text_add(&json->text, value ? "true" : "false");
    end(json, mark);
}

bool json_open(struct json *json, const char *key, char bracket) {
    struct mark mark = begin(json, key);
    text_add_span(&json->text, &bracket, 1);
    json->depth++;
    if (!end(json, mark)) {
        json->depth--;
        return false;
    }
    json->needs_comma = false;
    return true;
}

void json_close(struct json *json, char bracket) {
    text_add_span(&json->text, &bracket, 1);
    json->depth--;
    json->needs_comma = true;
}

struct text json_end(struct json *json) {
    if (json->is_cut) {
        text_add(&json->text, json->needs_comma ? ", \"cut\": true" : "\"cut\": true");
    }
    text_add(&json->text, "}");
    return json->text;
}
