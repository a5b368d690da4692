/* One JSON object, built without stdio in a buffer of the caller's. What does not fit is left out whole, key and all, and
 * the object then ends with "cut": true. Strings that are not UTF-8 have the wrong bytes replaced. Async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/text.h"

struct json {
    struct text text;
    bool is_cut;
    bool needs_comma;
    unsigned depth;
};

struct json json_start(char *buffer, size_t capacity);

/* Members; `key` NULL inside an array. A NULL string is null. */
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_hex(struct json *json, const char *key, uint64_t value);  /* "0x1234"; 0 is null */
void json_seconds(struct json *json, const char *key, uint64_t ns); /* 12.345678901 */
void json_bool(struct json *json, const char *key, bool value);

/* An object or array inside; false: it does not fit, and must not be filled or closed. */
bool json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* Ends the object. The text can be written by log_text. */
struct text json_end(struct json *json);
