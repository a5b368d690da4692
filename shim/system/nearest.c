#include "system/nearest.h"

#include <stdbool.h>
#include <string.h>

enum { LENGTH_MAX = 24 }; /* no name is longer, so nothing that is longer is a misspelt name */

static int lower(char c) {
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool same(char a, char b) {
    return lower(a) == lower(b);
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* The optimal string alignment distance. Only the last three rows of its matrix are kept. */
static unsigned distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    unsigned rows[3][LENGTH_MAX + 1];
    for (size_t i = 0; i <= a_length; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_length; j++) {
            if (i == 0) {
                row[j] = (unsigned)j;
                continue;
            }
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a_length % 3][b_length];
}

struct nearest nearest_start(const char *word, size_t length) {
    return (struct nearest){.word = word, .length = length};
}

void nearest_offer(struct nearest *nearest, const char *name) {
    size_t length = strlen(name);
    if (nearest->length < 2 || nearest->length > LENGTH_MAX || length > LENGTH_MAX) {
        return;
    }
    size_t longer = length > nearest->length ? length : nearest->length;
    size_t shorter = length + nearest->length - longer;
    unsigned allowed = (unsigned)(longer + (longer - shorter > 1 ? 2 : 0)) / 3;
    bool is_beginning = nearest->length > 2 && strncmp(name, nearest->word, nearest->length) == 0;
    unsigned off = is_beginning ? 0 : distance(nearest->word, nearest->length, name, length);
    if (off <= (allowed ? allowed : 1) && (!nearest->name || off < nearest->distance)) {
        nearest->name = name;
        nearest->distance = off;
    }
}
