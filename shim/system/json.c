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

static void add_digits(struct text *text, unsigned code) {
    const char digits[] = {'\\', 'u', '0', '0', "0123456789abcdef"[code >> 4], "0123456789abcdef"[code & 15]};
    text_add_span(text, digits, sizeof digits);
}

/* Control characters of the second set (C1) may be escape sequences to a terminal. */
static void add_escaped(struct text *text, const char *value) {
    for (const unsigned char *c = (const unsigned char *)value; *c;) {
        size_t length = text_sequence_at((const char *)c, 4); /* a 0 byte ends it before */
        if (length == 0) {
            text_add(text, "\\ufffd");
            c++;
        } else if (*c == '"' || *c == '\\') {
            text_add(text, "\\");
            text_add_span(text, (const char *)c++, 1);
        } else if (*c < 0x20 || *c == 0x7f) {
            add_digits(text, *c++);
        } else if (*c == 0xc2 && c[1] < 0xa0) {
            add_digits(text, c[1]);
            c += length;
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
