#include "path.h"

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

void path_expand(struct text *text, const char *pattern) {
    bool has_pid = false;
    for (const char *c = pattern; *c; c++) {
        if (c[0] != '%' || !c[1]) {
            text_add_span(text, c, 1);
            continue;
        }
        char host[256] = "host";
        switch (*++c) {
        case 'p':
            text_add_decimal(text, (uint64_t)getpid());
            has_pid = true;
            break;
        case 'h':
            gethostname(host, sizeof host - 1);
            text_add(text, host);
            break;
        case 'e': text_add(text, program_invocation_short_name); break;
        case '%': text_add(text, "%"); break;
        default: text_add_span(text, c - 1, 2); break;
        }
    }
    if (!has_pid) {
        text_add(text, ".");
        text_add_decimal(text, (uint64_t)getpid());
    }
}
