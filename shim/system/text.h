/* Builds a line of text without stdio, so it is usable in a signal handler, inside malloc, and with any lock held. What
 * does not fit is cut off; text_end shows that with "...". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *buffer;
    size_t capacity;
    size_t length;
};

/* Starts a text in the caller's `buffer`, whose `capacity` is at least 8. All functions here are async-signal-safe. */
struct text text_start(char *buffer, size_t capacity);
void text_add(struct text *text, const char *string);
void text_add_span(struct text *text, const char *string, size_t length);
void text_add_decimal(struct text *text, uint64_t number);
void text_add_hex(struct text *text, uint64_t number); /* with 0x */

/* Adds nanoseconds as seconds: 12.345, with `digits` digits after the point (0 to 9). */
void text_add_seconds(struct text *text, uint64_t ns, unsigned digits);

/* Ends the text with a 0 byte (not counted in `length`) and marks a cut. Returns the buffer. */
const char *text_end(struct text *text);

/* Replaces control characters, including the second set (C1), characters that separate lines or change the direction of
 * writing, and what is no UTF-8. A newline in a name would begin a line of its own, an escape sequence could hide one, and a
 * change of direction could show one name as another. `may_have_color`: our own colours stay as they are. */
void text_disarm(char *bytes, size_t length, bool may_have_color);

/* Returns the length of the UTF-8 sequence at `bytes`, which is at most `length` and 4, or 0 if there is no valid one. */
size_t text_sequence_at(const char *bytes, size_t length);
