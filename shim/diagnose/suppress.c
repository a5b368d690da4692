#include "diagnose/suppress.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "system/symbol.h"

enum { RULES_MAX = 256, CONTENT_MAX = 16384 };

static struct rule {
    const char *type, *pattern; /* in `content` */
    unsigned matched;
} rules[RULES_MAX];
unsigned suppress_rule_count;
static char content[CONTENT_MAX];

/* Returns true if the pattern from `pattern` to `end`, where * stands for anything, matches all of `string`; with
 * `is_open`, a beginning of it. */
static bool fits(const char *pattern, const char *end, const char *string, bool is_open) {
    const char *star = NULL, *resume = NULL;
    for (;;) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            resume = string;
        } else if (pattern == end && (is_open || !*string)) {
            return true;
        } else if (pattern < end && *string && *pattern == *string) {
            pattern++;
            string++;
        } else if (star && *resume) {
            pattern = star;
            string = ++resume;
        } else {
            return false;
        }
    }
}

static bool matches(const char *pattern, const char *string) {
    size_t length = strlen(pattern);
    bool is_at_start = pattern[0] == '^';
    bool is_at_end = length > is_at_start && pattern[length - 1] == '$';
    do {
        if (fits(pattern + is_at_start, pattern + length - is_at_end, string, !is_at_end)) {
            return true;
        }
    } while (!is_at_start && *string++);
    return false;
}

static void complain_of(suppress_complaint *complain, const char *what, const char *line) {
    char buffer[300];
    struct text text = text_start(buffer, sizeof buffer);
    text_add(&text, "warning: ");
    text_add(&text, what);
    text_add(&text, ": \"");
    text_add(&text, line);
    text_add(&text, "\"");
    complain(text_end(&text));
}

static char *trim(char *start, char *end) {
    while (start < end && (*start == ' ' || *start == '\t')) {
        start++;
    }
    while (end > start && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    *end = '\0';
    return start;
}

static void parse_line(char *start, char *end, suppress_complaint *complain) {
    char *line = trim(start, end);
    if (!*line || *line == '#') {
        return;
    }
    char *colon = strchr(line, ':');
    if (!colon || colon == line || !colon[1]) {
        complain_of(complain, "not a suppression (type:pattern), ignored", line);
        return;
    }
    if (suppress_rule_count == RULES_MAX) {
        complain_of(complain, "one suppression too many, ignored", line);
        return;
    }
    *colon = '\0';
    rules[suppress_rule_count++] = (struct rule){line, colon + 1, 0};
}

static void parse_content(suppress_complaint *complain) {
    suppress_rule_count = 0;
    for (char *line = content; *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        parse_line(line, end, complain);
        line = next;
    }
}

void suppress_parse(const char *string, suppress_complaint *complain) {
    strncpy(content, string, sizeof content - 1);
    parse_content(complain);
}

bool suppress_read(const char *path, suppress_complaint *complain) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return false;
    }
    size_t size = 0;
    ssize_t count;
    while ((count = read(fd, content + size, sizeof content - 1 - size)) > 0) {
        size += (size_t)count;
    }
    char more;
    bool is_cut = count == 0 && size == sizeof content - 1 && read(fd, &more, 1) == 1;
    close(fd);
    content[size] = '\0';
    if (is_cut) {
        complain_of(complain, "too long, the rest of it is ignored", path);
    }
    parse_content(complain);
    return count >= 0;
}

unsigned suppress_find_names(const char *name, const char *place, const char *module) {
    for (unsigned i = 0; i < suppress_rule_count; i++) {
        bool is_lib = strcmp(rules[i].type, "called_from_lib") == 0;
        if ((is_lib || strcmp(rules[i].type, name) == 0) && matches(rules[i].pattern, is_lib ? module : place)) {
            return SUPPRESS_RULE + i;
        }
    }
    return SUPPRESS_NONE;
}

unsigned suppress_find(const char *name, const char *called, const void *caller) {
    char place[480], module[300];
    struct text text = text_start(module, sizeof module);
    symbol_add_object(&text, caller);
    text_end(&text);
    text = text_start(place, sizeof place);
    if (called) {
        text_add(&text, called);
        text_add(&text, " by ");
    }
    size_t in_front = text.length;
    symbol_add(&text, caller);
    text_end(&text);
    char *offset = strrchr(place, '+');
    if (offset) {
        *offset = '\0';
    }
    unsigned verdict = suppress_find_names(name, place + in_front, module);
    return verdict == SUPPRESS_NONE && called ? suppress_find_names(name, place, module) : verdict;
}

bool suppress_count(unsigned verdict) {
    if (verdict < SUPPRESS_RULE) {
        return false;
    }
    __atomic_add_fetch(&rules[verdict - SUPPRESS_RULE].matched, 1, __ATOMIC_RELAXED);
    return true;
}

bool suppress_next_matched(unsigned *index, struct text *text) {
    while (*index < suppress_rule_count) {
        const struct rule *rule = &rules[(*index)++];
        unsigned matched = __atomic_load_n(&rule->matched, __ATOMIC_RELAXED);
        if (matched) {
            text_add_decimal(text, matched);
            text_add(text, " ");
            text_add(text, rule->type);
            text_add(text, ":");
            text_add(text, rule->pattern);
            return true;
        }
    }
    return false;
}
