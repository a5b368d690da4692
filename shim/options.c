#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

struct options options;

static const char *const repair_names[] = {
#define REPAIR(name, without) #name,
#include "repairs.def"
#undef REPAIR
};

const char *options_repair_name(enum repair repair) {
    return repair_names[repair];
}

enum { ALL_REPAIRS = (1u << REPAIR_COUNT) - 1 };

void options_default(struct options *result) {
    memset(result, 0, sizeof *result);
    result->mode = MODE_REPAIR;
    result->repairs = ALL_REPAIRS;
}

/* A piece of the string between separators. */
struct span {
    const char *start;
    size_t length;
};

static bool span_is(struct span span, const char *word) {
    return strlen(word) == span.length && memcmp(span.start, word, span.length) == 0;
}

/* Cuts the piece before `separator` off *rest. */
static struct span next_piece(const char **rest, char separator) {
    struct span piece = {*rest, strcspn(*rest, (const char[]){separator, '\0'})};
    *rest += piece.length + ((*rest)[piece.length] != '\0');
    return piece;
}

static bool parse_number(struct span value, int largest, int *result) {
    if (value.length != 1 || value.start[0] < '0' || value.start[0] - '0' > largest) {
        return false;
    }
    *result = value.start[0] - '0';
    return true;
}

static bool parse_flag(bool *flag, struct span value) {
    int number;
    if (!parse_number(value, 1, &number)) {
        return false;
    }
    *flag = number;
    return true;
}

static bool parse_help(struct options *result, struct span value) {
    return parse_flag(&result->help, value);
}

static bool parse_check(struct options *result, struct span value) {
    return parse_flag(&result->check, value);
}

static bool parse_mode(struct options *result, struct span value) {
    if (span_is(value, "repair")) {
        result->mode = MODE_REPAIR;
    } else if (span_is(value, "off")) {
        result->mode = MODE_OFF;
    } else {
        return false;
    }
    return true;
}

static uint32_t repair_bit(struct span name) {
    if (span_is(name, "all")) {
        return ALL_REPAIRS;
    }
    for (unsigned i = 0; i < REPAIR_COUNT; i++) {
        if (span_is(name, repair_names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

/* all, none, a list of names, or any of these followed by -name to take one out. A list that starts with -name starts
 * from all. */
static bool parse_repair(struct options *result, struct span value) {
    char copy[256];
    if (value.length == 0 || value.length >= sizeof copy) {
        return false;
    }
    memcpy(copy, value.start, value.length);
    copy[value.length] = '\0';
    uint32_t repairs = copy[0] == '-' ? ALL_REPAIRS : 0;
    for (const char *rest = copy; *rest;) {
        struct span name = next_piece(&rest, ',');
        bool take_out = name.length && name.start[0] == '-';
        if (take_out) {
            name = (struct span){name.start + 1, name.length - 1};
        }
        uint32_t bit = repair_bit(name);
        if (!bit && !span_is(name, "none")) {
            return false;
        }
        repairs = take_out ? repairs & ~bit : repairs | bit;
    }
    result->repairs = repairs;
    return true;
}

static bool parse_verbosity(struct options *result, struct span value) {
    return parse_number(value, 2, &result->verbosity);
}

static bool parse_log_path(struct options *result, struct span value) {
    if (value.length == 0 || value.length >= sizeof result->log_path) {
        return false;
    }
    memcpy(result->log_path, value.start, value.length);
    result->log_path[value.length] = '\0';
    return true;
}

static const struct option {
    const char *key;
    bool (*parse)(struct options *result, struct span value);
    const char *values;
    const char *preset;
    const char *meaning;
} table[] = {
    {"help", parse_help, "0|1", "0", "print this list on stderr and go on"},
    {"mode", parse_mode, "repair|off", "repair", "off: pass everything through"},
    {"repair", parse_repair, "all|none|NAME,NAME|-NAME", "all",
     "which repairs: duplicate held subinterp moved cached finalize share"},
    {"verbosity", parse_verbosity, "0|1|2", "0",
     "1: tell each repair once per calling site; 2: tell how it is bound too"},
    {"log_path", parse_log_path, "FILE|stderr|stdout", "stderr",
     "where to; %p pid, %h host, %e program; without %p, .PID is appended"},
    {"check", parse_check, "0|1", "0", "say what can be served here instead of running the program"},
};
enum { TABLE_SIZE = sizeof table / sizeof table[0] };

static void complain_of(options_complaint *complain, const char *what, struct span span, const char *advice) {
    char buffer[256];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, what);
    text_add(&text, " \"");
    text_add_span(&text, span.start, span.length);
    text_add(&text, "\" in GILSHIM_OPTIONS ignored; ");
    text_add(&text, advice);
    complain(text_end(&text));
}

static void parse_pair(struct options *result, struct span pair, options_complaint *complain) {
    const char *equals = memchr(pair.start, '=', pair.length);
    size_t key_length = equals ? (size_t)(equals - pair.start) : pair.length;
    struct span key = {pair.start, key_length};
    for (unsigned i = 0; i < TABLE_SIZE; i++) {
        if (!span_is(key, table[i].key)) {
            continue;
        }
        struct span value = {equals ? equals + 1 : "", equals ? pair.length - key_length - 1 : 0};
        if (!table[i].parse(result, value)) {
            char advice[96];
            struct text text = text_start(advice, sizeof advice);
            text_add(&text, table[i].key);
            text_add(&text, " takes ");
            text_add(&text, table[i].values);
            complain_of(complain, "warning: bad value", pair, text_end(&text));
        }
        return;
    }
    complain_of(complain, "warning: unknown option", key, "help=1 lists the options");
}

void options_parse(struct options *result, const char *string, options_complaint *complain) {
    if (!string) {
        return;
    }
    while (*string) {
        struct span pair = next_piece(&string, ':');
        if (pair.length) {
            parse_pair(result, pair, complain);
        }
    }
}

/* The variable as it was in the constructor. A copy: programs that change their title write over the original. */
static char environment[4096];

static void stay_silent(const char *text) {
    (void)text;
}

void options_read(void) {
    const char *value = secure_getenv("GILSHIM_OPTIONS");
    strncpy(environment, value ? value : "", sizeof environment - 1);
    options_default(&options);
    options_parse(&options, environment, stay_silent);
}

void options_complain(options_complaint *complain) {
    struct options again;
    options_default(&again);
    options_parse(&again, environment, complain);
}

void options_help(options_complaint *print) {
    print("options of GILSHIM_OPTIONS=key=value:key=value");
    for (unsigned i = 0; i < TABLE_SIZE; i++) {
        char buffer[256];
        struct text text = text_start(buffer, sizeof buffer);
        text_add(&text, "  ");
        text_add(&text, table[i].key);
        text_add(&text, "=");
        text_add(&text, table[i].values);
        text_add(&text, "  (default ");
        text_add(&text, table[i].preset);
        text_add(&text, ")  ");
        text_add(&text, table[i].meaning);
        print(text_end(&text));
    }
}
