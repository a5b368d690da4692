#include "system/symbol.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

static char buffer[300];

static const char *demangled(const char *name) {
    struct text text = text_start(buffer, sizeof buffer);
    symbol_add_demangled(&text, name);
    return text_end(&text);
}

static void shortens_cxx_names(void) {
    CHECK(strcmp(demangled("plain_c"), "plain_c") == 0);
    CHECK(strcmp(demangled("_Z3foov"), "foo") == 0);
    CHECK(strcmp(demangled("_ZN3foo3barEv"), "foo::bar") == 0);
    CHECK(strcmp(demangled("_ZNK3foo3bar3bazEii"), "foo::bar::baz") == 0);
    CHECK(strcmp(demangled("_ZN3foo3BarC2Ev"), "foo::Bar::Bar") == 0);
    CHECK(strcmp(demangled("_ZN3foo3BarD1Ev"), "foo::Bar::~Bar") == 0);
    CHECK(strcmp(demangled("_ZN12_GLOBAL__N_14workEv"), "(anonymous)::work") == 0);
    CHECK(strcmp(demangled("_ZL5quietv"), "quiet") == 0);
    CHECK(strcmp(demangled("_ZSt9terminatev"), "std::terminate") == 0);
    CHECK(strcmp(demangled("_ZN3foo4makeIiEEvT_"), "foo::make<...>") == 0);
    CHECK(strcmp(demangled("_ZN3fooclEv"), "foo::operator()") == 0);
}

/* What is not understood, or cut off anywhere, is shown as it is; nothing is read behind its end. */
static void leaves_the_rest(void) {
    static const char *const odd[] = {
        "_Z",  "_ZN", "_ZN3fo", "_Z99999999999999999999x", "_ZN3fooplERKS_", "_ZTV3foo", "_ZThn8_N1AD0Ev",
        "_ZN", "_Z0", "_ZNC2Ev"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char *copy = strdup(odd[i]); /* on the heap, so that the sanitizer sees one byte too much */
        CHECK(strcmp(demangled(copy), odd[i]) == 0);
        free(copy);
    }
    const char *name = "_ZN3foo3BarC2Ev";
    for (size_t length = 0; length <= strlen(name); length++) {
        char *copy = strndup(name, length);
        demangled(copy);
        free(copy);
    }
}

__attribute__((noinline)) static void *in_static_function(void) {
    return __builtin_return_address(0);
}

__attribute__((noinline)) static void names_static_functions(void) {
    struct text text = text_start(buffer, sizeof buffer);
    symbol_add(&text, in_static_function());
    CHECK(strstr(text_end(&text), "symbol!names_static_functions+0x") != NULL);
    struct elf_object object;
    CHECK(elf_find_by_address((const void *)names_static_functions, &object));
    CHECK(symbol_find_hidden(&object, "names_static_functions") == (void *)names_static_functions);
    CHECK(symbol_find_hidden(&object, "no_such_function") == NULL);
}

static void names_exported_functions(void) {
    struct text text = text_start(buffer, sizeof buffer);
    symbol_add(&text, (const char *)malloc + 4);
    CHECK(strchr(text_end(&text), '!') != NULL);
    CHECK(symbol_is((const char *)getlogin + 4, "getlogin"));
    CHECK(!symbol_is((const char *)getlogin + 4, "no_such_function"));
}

static void bears_nonsense(void) {
    const void *nowhere[] = {NULL, (const void *)1, (const void *)8, buffer, (const void *)-1};
    for (size_t i = 0; i < sizeof nowhere / sizeof nowhere[0]; i++) {
        struct text text = text_start(buffer, sizeof buffer);
        symbol_add(&text, nowhere[i]);
        CHECK(text_end(&text)[0] != '\0');
        CHECK(!symbol_is(nowhere[i], "malloc"));
    }
}

int main(void) {
    RUN(shortens_cxx_names);
    RUN(leaves_the_rest);
    RUN(names_static_functions);
    RUN(names_exported_functions);
    RUN(bears_nonsense);
    return test_end();
}
