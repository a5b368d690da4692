#include "system/nearest.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static const char *const names[] = {"mode",    "stall",    "log_path",    "log_format",
                                    "history", "timeline", "timeline_mb", "hold"};

/* The nearest of the names above to a copy of the exact size, so that the sanitizer sees a read behind it. */
static const char *nearest_to(const char *word) {
    size_t length = strlen(word);
    char *copy = malloc(length + 1);
    memcpy(copy, word, length);
    copy = realloc(copy, length ? length : 1);
    struct nearest nearest = nearest_start(copy, length);
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        nearest_offer(&nearest, names[i]);
    }
    free(copy);
    return nearest.name ? nearest.name : "none";
}

static bool is(const char *word, const char *name) {
    return strcmp(nearest_to(word), name) == 0;
}

static void one_letter(void) {
    CHECK(is("stal", "stall") && is("stalll", "stall") && is("stoll", "stall") && is("satll", "stall"));
    CHECK(is("mod", "mode") && is("moed", "mode") && is("holt", "hold"));
    CHECK(is("MODE", "mode") && is("Stal", "stall"));
}

static void several_letters(void) {
    CHECK(is("logpath", "log_path") && is("log-fromat", "log_format") && is("logformt", "log_format"));
    CHECK(is("hstroy", "history") && is("timelin_mb", "timeline_mb"));
}

static void a_beginning(void) {
    CHECK(is("his", "history") && is("time", "timeline") && is("log", "log_path") && is("timeline_", "timeline_mb"));
}

static void what_is_not_near(void) {
    CHECK(is("", "none") && is("h", "none") && is("x", "none") && is("hi", "none"));
    CHECK(is("frob", "none") && is("verbose", "none") && is("mxyz", "none") && is("llats", "none"));
    CHECK(is("timeline_mb_timeline_mb_timeline_mb", "none"));
    char word[5000];
    memset(word, 'm', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    CHECK(is(word, "none"));
}

static void the_longest_word(void) {
    const char *word = "abcdefghijklmnopqrstuvwx"; /* 24 letters */
    struct nearest nearest = nearest_start(word, 24);
    nearest_offer(&nearest, "abcdefghijklmnopqrstuvwxy"); /* too long to be compared */
    CHECK(!nearest.name);
    nearest_offer(&nearest, "abcdefghijklmnopqrstuvxw");
    CHECK(nearest.name && nearest.distance == 1);
}

int main(void) {
    RUN(one_letter);
    RUN(several_letters);
    RUN(a_beginning);
    RUN(what_is_not_near);
    RUN(the_longest_word);
    return test_end();
}
