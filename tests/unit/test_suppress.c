#include "diagnose/suppress.h"

#include <string.h>

#include "system/symbol.h"
#include "test.h"

/* Names are given here. */
void symbol_add(struct text *text, const void *address) {
    (void)address;
    text_add(text, "libfoo.so.1!bar+0x12");
}
void symbol_add_object(struct text *text, const void *address) {
    (void)address;
    text_add(text, "libfoo.so.1");
}

static int complaints;
static void complain(const char *text) {
    complaints += text[0] != '\0';
}

static bool matches(const char *rules) {
    complaints = 0;
    suppress_parse(rules, complain);
    return suppress_count(suppress_find("held", NULL, NULL));
}

static void patterns(void) {
    CHECK(matches("held:foo"));
    CHECK(matches("held:^libfoo.so.1!bar$"));
    CHECK(matches("held:lib*bar"));
    CHECK(matches("held:^lib*!b*r$"));
    CHECK(matches("held:*"));
    CHECK(matches("  held:bar  \n"));
    CHECK(matches("# no\n\nmoved:foo\nheld:bar"));
    CHECK(matches("called_from_lib:^libfoo.so.1$"));
    CHECK(complaints == 0);
    CHECK(!matches("held:^foo"));
    CHECK(!matches("held:lib$"));
    CHECK(!matches("held:^libfoo.so.1!bar+0x12$"));
    CHECK(!matches("moved:foo"));
    CHECK(!matches("called_from_lib:bar"));
    CHECK(!matches("#held:foo"));
    CHECK(!matches(""));
}

static bool matches_call(const char *rules) {
    suppress_parse(rules, complain);
    return suppress_count(suppress_find("no_gil", "PyMem_Free", NULL));
}

static void functions_called(void) {
    CHECK(matches_call("no_gil:PyMem_Free by libfoo"));
    CHECK(matches_call("no_gil:^PyMem_Free by libfoo.so.1!bar$"));
    CHECK(matches_call("no_gil:^libfoo.so.1!bar$"));
    CHECK(matches_call("called_from_lib:^libfoo.so.1$"));
    CHECK(!matches_call("no_gil:PyMem_Malloc by libfoo"));
    CHECK(!matches_call("no_gil:^PyMem_Free$"));
    CHECK(!matches_call("called_from_lib:PyMem_Free"));
    CHECK(!matches("held:PyMem_Free"));
}

static void faults(void) {
    CHECK(!matches("nonsense") && complaints == 1);
    CHECK(!matches(":x\nheld:\n") && complaints == 2);
    CHECK(matches("nonsense\nheld:foo") && complaints == 1);
}

static void counts(void) {
    char buffer[100];
    struct text text = text_start(buffer, sizeof buffer);
    unsigned index = 0;
    suppress_parse("moved:foo\nheld:foo", complain);
    suppress_count(suppress_find("held", NULL, NULL));
    suppress_count(suppress_find("held", NULL, NULL));
    CHECK(suppress_next_matched(&index, &text) && strcmp(text_end(&text), "2 held:foo") == 0);
    CHECK(!suppress_next_matched(&index, &text));
}

int main(void) {
    RUN(patterns);
    RUN(functions_called);
    RUN(faults);
    RUN(counts);
    return test_end();
}
