#include "process/options.h"

#include <string.h>

#include "system/nearest.h"
#include "system/text.h"

static const char *const repair_names[] = {
#define REPAIR(name, without) #name,
#include "repairs.def"
#undef REPAIR
};

const char *options_repair_name(enum repair repair) {
    return repair_names[repair];
}

void options_default(struct options *result) {
    memset(result, 0, sizeof *result);
    result->mode = MODE_REPAIR;
    result->repairs = OPTIONS_ALL_REPAIRS;
    result->exitcode = EXITCODE_NONE;
    result->timeline_mb = TIMELINE_MB;
}

/* A piece of the string between separators. */
struct span {
    const char *start;
    size_t length;
};

static bool span_is(struct span span, const char *word) {
    return strlen(word) == span.length && memcmp(span.start, word, span.length) == 0;
}

/* Cuts the piece before `separator` off *rest and returns it. */
static struct span next_piece(const char **rest, char separator) {
    struct span piece = {*rest, strcspn(*rest, (const char[]){separator, '\0'})};
    *rest += piece.length + ((*rest)[piece.length] != '\0');
    return piece;
}

static bool parse_number(struct span value, int largest, int *result) {
    int number = 0;
    for (size_t i = 0; i < value.length; i++) {
        char c = value.start[i];
        if (c < '0' || c > '9' || number > largest) {
            return false;
        }
        number = number * 10 + (c - '0');
    }
    if (value.length == 0 || value.length > 9 || number > largest) {
        return false;
    }
    *result = number;
    return true;
}

static bool parse_flag(bool *flag, struct span value) {
    int number;
    if (value.length != 1 || !parse_number(value, 1, &number)) {
        return false;
    }
    *flag = number;
    return true;
}

/* Parses one of `count` words and stores its index in *result. */
static bool parse_word(struct span value, const char *const *words, int count, int *result) {
    for (int i = 0; i < count; i++) {
        if (span_is(value, words[i])) {
            *result = i;
            return true;
        }
    }
    return false;
}

static bool parse_path(char *path, size_t size, struct span value) {
    if (value.length == 0 || value.length >= size) {
        return false;
    }
    memcpy(path, value.start, value.length);
    path[value.length] = '\0';
    return true;
}

static bool parse_help(struct options *result, struct span value) {
    return parse_flag(&result->help, value);
}

/* 0 and 1 are about the shim itself (check.c). The words switch the GIL sanitizer on. */
static bool parse_check(struct options *result, struct span value) {
    bool is_all = span_is(value, "all"), is_calls = is_all || span_is(value, "calls"),
         is_locks = is_all || span_is(value, "locks");
    if (!is_calls && !is_locks && !parse_flag(&result->check, value)) {
        return false;
    }
    result->check = result->check && !is_calls && !is_locks;
    result->check_calls = is_calls;
    result->check_locks = is_locks;
    return true;
}

static bool parse_check_action(struct options *result, struct span value) {
    static const char *const words[] = {"report", "abort"};
    int action;
    if (!parse_word(value, words, sizeof words / sizeof words[0], &action)) {
        return false;
    }
    result->check_aborts = action;
    return true;
}

static bool parse_keep(struct options *result, struct span value) {
    return parse_flag(&result->keep, value);
}

static bool parse_crash(struct options *result, struct span value) {
    return parse_flag(&result->crash, value);
}

static bool parse_summary(struct options *result, struct span value) {
    uint64_t inode = 0;
    for (size_t i = 1; i < value.length && value.start[0] == '@'; i++) {
        if (value.start[i] < '0' || value.start[i] > '9' || value.length > 19) {
            return false;
        }
        inode = inode * 10 + (uint64_t)(value.start[i] - '0');
    }
    if (inode) {
        result->summary = true;
    } else if (!parse_flag(&result->summary, value)) {
        return false;
    }
    result->summary_stderr = inode;
    return true;
}

static bool parse_mode(struct options *result, struct span value) {
    static const char *const words[] = {
        [MODE_REPAIR] = "repair", [MODE_OBSERVE] = "observe", [MODE_STRICT] = "strict", [MODE_OFF] = "off"};
    int mode;
    if (!parse_word(value, words, sizeof words / sizeof words[0], &mode)) {
        return false;
    }
    result->mode = (enum mode)mode;
    return true;
}

static bool parse_log_format(struct options *result, struct span value) {
    static const char *const words[] = {[LOG_TEXT] = "text", [LOG_JSON] = "json"};
    int format;
    if (!parse_word(value, words, sizeof words / sizeof words[0], &format)) {
        return false;
    }
    result->log_format = (enum log_format)format;
    return true;
}

static bool parse_color(struct options *result, struct span value) {
    static const char *const words[] = {[COLOR_AUTO] = "auto", [COLOR_ALWAYS] = "always", [COLOR_NEVER] = "never"};
    int color;
    if (!parse_word(value, words, sizeof words / sizeof words[0], &color)) {
        return false;
    }
    result->color = (enum color)color;
    return true;
}

static bool parse_history(struct options *result, struct span value) {
    return parse_number(value, HISTORY_MAX, &result->history);
}

static bool parse_exitcode(struct options *result, struct span value) {
    return parse_number(value, 255, &result->exitcode);
}

/* Parses seconds, with up to three digits after a point. */
static bool parse_stall(struct options *result, struct span value) {
    const char *point = memchr(value.start, '.', value.length);
    struct span whole = {value.start, point ? (size_t)(point - value.start) : value.length};
    struct span fraction = {point ? point + 1 : "0", point ? value.length - whole.length - 1 : 1};
    int seconds, parts;
    if (!parse_number(whole, 1000000, &seconds) || fraction.length > 3 || !parse_number(fraction, 999, &parts)) {
        return false;
    }
    for (size_t digits = fraction.length; digits < 3; digits++) {
        parts *= 10;
    }
    result->stall_ns = (uint64_t)seconds * 1000000000u + (uint64_t)parts * 1000000u;
    return true;
}

static bool parse_hold(struct options *result, struct span value) {
    int milliseconds;
    if (!parse_number(value, 1000000, &milliseconds)) {
        return false;
    }
    result->hold_ns = (uint64_t)milliseconds * 1000000u;
    return true;
}

static bool parse_timeline_mb(struct options *result, struct span value) {
    int megabytes;
    if (!parse_number(value, 1000000, &megabytes) || megabytes < 1) {
        return false;
    }
    result->timeline_mb = megabytes;
    return true;
}

static bool parse_timeline_wait(struct options *result, struct span value) {
    return parse_flag(&result->timeline_wait, value);
}

static uint32_t repair_bit(struct span name) {
    if (span_is(name, "all")) {
        return OPTIONS_ALL_REPAIRS;
    }
    for (unsigned i = 0; i < REPAIR_COUNT; i++) {
        if (span_is(name, repair_names[i])) {
            return 1u << i;
        }
    }
    return 0;
}

/* Adds " (NAME is duplicate, held, ...)". */
static void add_repair_names(struct text *text) {
    for (unsigned i = 0; i < REPAIR_COUNT; i++) {
        text_add(text, i ? ", " : " (NAME is ");
        text_add(text, repair_names[i]);
    }
    text_add(text, ")");
}

/* Parses all, none, or a list of names; each of them may be followed by -name, which takes one repair out. A list that
 * starts with -name starts from all. */
static bool parse_repair(struct options *result, struct span value) {
    char copy[256];
    if (value.length == 0 || value.length >= sizeof copy) {
        return false;
    }
    memcpy(copy, value.start, value.length);
    copy[value.length] = '\0';
    uint32_t repairs = copy[0] == '-' ? OPTIONS_ALL_REPAIRS : 0;
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
    if (!parse_number(value, 2, &result->verbosity)) {
        return false;
    }
    result->quiet = result->verbosity == 0;
    return true;
}

static bool parse_log_path(struct options *result, struct span value) {
    return parse_path(result->log_path, sizeof result->log_path, value);
}

static bool parse_timeline(struct options *result, struct span value) {
    return parse_path(result->timeline, sizeof result->timeline, value);
}

static bool parse_suppressions(struct options *result, struct span value) {
    return parse_path(result->suppressions, sizeof result->suppressions, value);
}

static const struct option {
    const char *key;
    bool (*parse)(struct options *result, struct span value);
    const char *values;
    const char *preset;
    const char *meaning;
} table[] = {
    {"help", parse_help, "0|1", "0", "print this list on stderr and go on"},
    {"mode", parse_mode, "repair|observe|strict|off", "repair",
     "observe: change nothing, say what would be repaired; strict: and end at the first; off: pass all through"},
    {"repair", parse_repair, "all|none|NAME,NAME|-NAME", "all", "which repairs:"
#define REPAIR(name, without) " " #name
#include "repairs.def"
#undef REPAIR
    },
    {"verbosity", parse_verbosity, "0|1|2", "0",
     "1: tell each repair once per calling site; 2: tell how it is bound too"},
    {"log_path", parse_log_path, "FILE|stderr|stdout", "stderr",
     "where to; %p pid, %h host, %e program; without %p, .PID is appended"},
    {"log_format", parse_log_format, "text|json", "text", "json: each report is one line of JSON"},
    {"color", parse_color, "auto|always|never", "auto",
     "auto: on a terminal, unless NO_COLOR; CLICOLOR_FORCE=1 forces"},
    {"keep", parse_keep, "0|1", "0",
     "1: a thread keeps the state that PyGILState_Ensure made for it until the thread ends: faster call-backs"},
    {"crash", parse_crash, "0|1", "0",
     "when the process dies of SIGSEGV, SIGABRT or the like: which library, and whether it had the GIL"},
    {"summary", parse_summary, "0|1|@INODE", "0",
     "when the process ends: repairs, acquisitions, waits and holds by module; @: if that file is stderr"},
    {"history", parse_history, "N", "0", "keep the last N events of each thread (at most 4096) for reports"},
    {"timeline", parse_timeline, "FILE", "none", "write a trace for ui.perfetto.dev; FILE as for log_path"},
    {"timeline_mb", parse_timeline_mb, "N", "256",
     "how large FILE and FILE.1, which has the older half, grow together"},
    {"timeline_wait", parse_timeline_wait, "0|1", "0",
     "threads wait for the writer where it could not follow: no event is lost, and the program is slower"},
    {"stall", parse_stall, "SECONDS", "0", "tell who holds the GIL when a thread has waited longer; 0: never"},
    {"suppressions", parse_suppressions, "FILE", "none", "reports to leave out: lines of type:pattern"},
    {"exitcode", parse_exitcode, "N", "none (strict: 66)", "the exit status if anything was reported"},
    {"check", parse_check, "0|1|calls|locks|all", "0",
     "1: say what can be served here instead of running the program; calls: report calls of Python's API without the "
     "GIL; locks: report orders of locks in which the GIL can deadlock; all: both"},
    {"hold", parse_hold, "MS", "0",
     "check=locks: report a thread that holds the GIL and is blocked for longer in a lock, a condition, a join; 0: "
     "never"},
    {"check_action", parse_check_action, "report|abort", "report",
     "abort: end with a core dump at the first finding of check=calls or locks"},
};
enum { TABLE_SIZE = sizeof table / sizeof table[0] };

static void complain_of(options_complaint *complain, const char *what, struct span span, const char *advice) {
    char buffer[512];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, what);
    text_add(&text, " \"");
    text_add_span(&text, span.start, span.length);
    text_add(&text, "\" in GILSHIM_OPTIONS ignored; ");
    text_add(&text, advice);
    complain(text_end(&text));
}

static void complain_of_key(options_complaint *complain, struct span key) {
    struct nearest nearest = nearest_start(key.start, key.length);
    for (unsigned i = 0; i < TABLE_SIZE; i++) {
        nearest_offer(&nearest, table[i].key);
    }
    char advice[128];
    struct text text = text_start(advice, sizeof advice);
    if (nearest.name) {
        text_add(&text, "did you mean ");
        text_add(&text, nearest.name);
        text_add(&text, "=? ");
    }
    text_add(&text, "help=1 lists the options");
    complain_of(complain, "warning: unknown option", key, text_end(&text));
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
            char advice[256];
            struct text text = text_start(advice, sizeof advice);
            text_add(&text, table[i].key);
            text_add(&text, " takes ");
            text_add(&text, table[i].values);
            if (table[i].parse == parse_repair) {
                add_repair_names(&text);
            } else if (table[i].parse == parse_history) {
                text_add(&text, " (at most 4096)");
            }
            complain_of(complain, "warning: bad value", pair, text_end(&text));
        }
        return;
    }
    complain_of_key(complain, key);
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
