/* Builds one JSON object without stdio, in the caller's buffer. A member that does not fit is left out together with
 * its key, and the object then ends with "cut": true. Bytes in a string that are not UTF-8 are replaced.
 * Async-signal-safe. */
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

/* Starts an object in the caller's `buffer`. */
struct json json_start(char *buffer, size_t capacity);

/* These add a member; in an array, `key` is NULL. A NULL string becomes null. */
void json_string(struct json *json, const char *key, const char *value);
void json_number(struct json *json, const char *key, uint64_t value);
void json_hex(struct json *json, const char *key, uint64_t value);  /* "0x1234"; 0 is null */
void json_seconds(struct json *json, const char *key, uint64_t ns); /* 12.345678901 */
void json_bool(struct json *json, const char *key, bool value);

/* Opens an object or array inside. Returns false if it does not fit; then it must not be filled or closed. */
bool json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

/* Ends the object. Returns its text, which log_text can write. */
struct text json_end(struct json *json);
