#include "process/options.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static int complaints;
static char last_complaint[1024];

static void complain(const char *text) {
    complaints++;
    CHECK(strchr(text, '\n') == NULL);
    CHECK(strlen(text) < sizeof last_complaint);
    strncpy(last_complaint, text, sizeof last_complaint - 1);
}

static struct options parse(const char *string) {
    struct options result;
    complaints = 0;
    last_complaint[0] = '\0';
    options_default(&result);
    /* A copy of the exact size, so that the sanitizer sees a read behind it. */
    char *copy = string ? strdup(string) : NULL;
    options_parse(&result, copy, complain);
    free(copy);
    return result;
}

static bool same(const struct options *a, const struct options *b) {
    return a->mode == b->mode && a->repairs == b->repairs && a->verbosity == b->verbosity && a->help == b->help &&
           strcmp(a->log_path, b->log_path) == 0;
}

enum { ALL = (1u << REPAIR_COUNT) - 1 };

static void defaults(void) {
    struct options o = parse(NULL);
    CHECK(complaints == 0);
    CHECK(o.mode == MODE_REPAIR && o.repairs == ALL && o.verbosity == 0 && !o.help && o.log_path[0] == '\0');
    struct options empty = parse("");
    CHECK(complaints == 0 && same(&o, &empty));
}

static void every_key(void) {
    struct options o = parse("mode=off:verbosity=2:log_path=/tmp/a-%p.log:help=1");
    CHECK(complaints == 0);
    CHECK(o.mode == MODE_OFF && o.verbosity == 2 && o.help && strcmp(o.log_path, "/tmp/a-%p.log") == 0);
}

static void keys_of_reports(void) {
    struct options o = parse("mode=observe:log_format=json:color=never:summary=1:history=4096:stall=1.5:exitcode=255:"
                             "timeline=/tmp/t:suppressions=/tmp/s");
    CHECK(complaints == 0);
    CHECK(o.mode == MODE_OBSERVE && o.log_format == LOG_JSON && o.color == COLOR_NEVER && o.summary);
    CHECK(o.history == 4096 && o.stall_ns == 1500000000u && o.exitcode == 255);
    CHECK(strcmp(o.timeline, "/tmp/t") == 0 && strcmp(o.suppressions, "/tmp/s") == 0);
    CHECK(!o.keep && parse("keep=1").keep);
    CHECK(parse("stall=0.05").stall_ns == 50000000u && parse("mode=strict").mode == MODE_STRICT);
    CHECK(parse("history=4097").history == 0 && complaints == 1);
    CHECK(parse("exitcode=256").exitcode == EXITCODE_NONE && complaints == 1);
}

static void the_last_of_two_wins(void) {
    struct options o = parse("verbosity=2:verbosity=1:mode=off:mode=repair");
    CHECK(complaints == 0 && o.verbosity == 1 && o.mode == MODE_REPAIR);
}

static void empty_pairs_are_nothing(void) {
    struct options o = parse("::verbosity=1:::");
    CHECK(complaints == 0 && o.verbosity == 1);
}

static void repairs_by_name(void) {
    CHECK(parse("repair=all").repairs == ALL && complaints == 0);
    CHECK(parse("repair=none").repairs == 0 && complaints == 0);
    CHECK(parse("repair=held").repairs == 1u << REPAIR_held && complaints == 0);
    CHECK(parse("repair=held,moved").repairs == (1u << REPAIR_held | 1u << REPAIR_moved) && complaints == 0);
    CHECK(parse("repair=-held").repairs == (ALL & ~(1u << REPAIR_held)) && complaints == 0);
    CHECK(parse("repair=all,-held").repairs == (ALL & ~(1u << REPAIR_held)) && complaints == 0);
    for (int i = 0; i < REPAIR_COUNT; i++) {
        char string[100];
        snprintf(string, sizeof string, "repair=%s", options_repair_name((enum repair)i));
        CHECK(parse(string).repairs == 1u << i && complaints == 0);
    }
}

/* One complaint each, which names what is wrong, and everything stays as it was. */
static void wrong_pairs_change_nothing(void) {
    static const char *const wrong[] = {
        "nosuchkey=1",
        "nosuchkey",
        "=",
        "=1",
        "mode",
        "mode=",
        "mode=sideways",
        "mode=off ",
        "mode=OFF",
        "Mode=off",
        " mode=off",
        "verbosity",
        "verbosity=",
        "verbosity=3",
        "verbosity=-1",
        "verbosity=10",
        "verbosity=1x",
        "verbosity=x",
        "help=2",
        "help=yes",
        "repair",
        "repair=",
        "repair=nosuchrepair",
        "repair=held,nosuchrepair",
        "repair=heldd",
        "repair=hel",
        "repair=,",
        "log_path",
        "log_path=",
        "mod=off",
        "modes=off",
        "verbosity=1=2",
    };
    struct options preset = parse(NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct options o = parse(wrong[i]);
        if (complaints != 1 || !same(&o, &preset))
            printf("# in: %s\n", wrong[i]);
        CHECK(complaints == 1);
        CHECK(same(&o, &preset));
        size_t key = strcspn(wrong[i], "=");
        char name[100];
        snprintf(name, sizeof name, "%.*s", (int)key, wrong[i]);
        CHECK(strstr(last_complaint, name) != NULL);
    }
}

static void wrong_pairs_do_not_spoil_the_others(void) {
    struct options o = parse("verbosity=9:nosuchkey=1:mode=off:repair=x:verbosity=2");
    CHECK(complaints == 3 && o.mode == MODE_OFF && o.verbosity == 2 && o.repairs == ALL);
}

/* Longer than any buffer: cut in the complaint, never in what is done. */
static void very_long_pairs(void) {
    char *string = malloc(100000);
    for (int length = 1; length < 3000; length += length < 300 ? 1 : 97) {
        memset(string, 'k', (size_t)length);
        strcpy(string + length, "=1:verbosity=2");
        CHECK(parse(string).verbosity == 2 && complaints == 1);

        strcpy(string, "log_path=");
        memset(string + 9, 'p', (size_t)length);
        strcpy(string + 9 + length, ":verbosity=1");
        struct options o = parse(string);
        CHECK(o.verbosity == 1);
        CHECK(complaints == 0 ? strlen(o.log_path) == (size_t)length : o.log_path[0] == '\0');

        strcpy(string, "repair=");
        memset(string + 7, ',', (size_t)length);
        string[7 + length] = '\0';
        CHECK(parse(string).repairs == ALL && complaints == 1);
    }
    free(string);
}

/* Any bytes: no crash, no value out of range. The generator is our own, for the same bytes everywhere. */
static void random_bytes(void) {
    static const char *const words[] = {"mode", "repair", "verbosity", "log_path", "help", "off", "all",
                                        "none", "held",   "=",         ":",        ",",    "-",   "1",
                                        "2",    "%p",     "\xff",      " ",        "x"};
    unsigned seed = 1;
    for (int round = 0; round < 20000; round++) {
        char string[256] = "";
        for (int i = 0; i < 12; i++) {
            seed = seed * 1103515245u + 12345u;
            strcat(string, words[(seed >> 16) % (sizeof words / sizeof *words)]);
        }
        struct options o = parse(string);
        CHECK(o.verbosity >= 0 && o.verbosity <= 2 && (o.repairs & ~(unsigned)ALL) == 0);
        CHECK(o.mode <= MODE_OFF);
    }
}

static void reads_the_environment(void) {
    setenv("GILSHIM_OPTIONS", "verbosity=2", 1);
    options_read();
    CHECK(options.verbosity == 2 && options.repairs == ALL && options_repairs(REPAIR_held));
    setenv("GILSHIM_OPTIONS", "frob=1", 1);
    complaints = 0;
    options_read();
    CHECK(complaints == 0);
    options_complain(complain);
    CHECK(complaints == 1);
    unsetenv("GILSHIM_OPTIONS");
    options_read();
    options_complain(complain);
    CHECK(options.verbosity == 0 && complaints == 1);
}

static void names_the_nearest_key(void) {
    parse("stal=5");
    CHECK(strstr(last_complaint,
                 "unknown option \"stal\" in GILSHIM_OPTIONS ignored; did you mean stall=? help=1 lists"));
    parse("log-path=/tmp/x");
    CHECK(strstr(last_complaint, "did you mean log_path=?"));
    parse("frob=1");
    CHECK(complaints == 1 && !strstr(last_complaint, "did you mean") && strstr(last_complaint, "; help=1 lists"));
}

static int help_lines;
static void count_help(const char *text) {
    help_lines++;
    CHECK(strchr(text, '\n') == NULL && strstr(text, "...") == NULL);
}

static void helps(void) {
    options_help(count_help);
    CHECK(help_lines >= 5);
}

int main(void) {
    RUN(defaults);
    RUN(every_key);
    RUN(keys_of_reports);
    RUN(the_last_of_two_wins);
    RUN(empty_pairs_are_nothing);
    RUN(repairs_by_name);
    RUN(wrong_pairs_change_nothing);
    RUN(wrong_pairs_do_not_spoil_the_others);
    RUN(very_long_pairs);
    RUN(random_bytes);
    RUN(reads_the_environment);
    RUN(names_the_nearest_key);
    RUN(helps);
    return test_end();
}
