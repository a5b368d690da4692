/* GILSHIM_OPTIONS: key=value:key=value, the sanitizers' habit. An unknown key or bad value is a warning, not a death. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum repair {
#define REPAIR(name, without) REPAIR_##name,
#include "repairs.def"
#undef REPAIR
    REPAIR_COUNT
};

enum mode { MODE_REPAIR, MODE_OFF };

struct options {
    enum mode mode;
    uint32_t repairs; /* bit 1 << enum repair */
    int verbosity;    /* 0: only when dying; 1: each kind of repair once per calling site; 2: binding and probes too */
    bool help;        /* print the options and go on */
    bool check;       /* say what can be served, instead of running the program */
    char log_path[1024]; /* "": stderr */
};

/* The process's options: read once by options_read, constant afterwards. */
extern struct options options;

/* Told each fault: `text` is one line without newline. */
typedef void options_complaint(const char *text);

/* Sets every option to its default. */
void options_default(struct options *result);

/* Reads `string` (NULL: nothing to read) over the values in `result`; a pair that is wrong changes nothing and is
 * complained of. A value can't hold a colon. */
void options_parse(struct options *result, const char *string, options_complaint *complain);

/* Reads GILSHIM_OPTIONS into `options` with secure_getenv (nothing in a set-uid process). Constructor only. */
void options_read(void);

/* Says what was wrong in GILSHIM_OPTIONS when it was read: a process that turns out to have no CPython stays silent. */
void options_complain(options_complaint *complain);

/* The text of help=1: each option with its default. `print` is called once per line, without newline. */
void options_help(options_complaint *print);

/* The repair's name; and whether it is switched on. */
const char *options_repair_name(enum repair repair);
static inline bool options_repairs(enum repair repair) {
    return options.repairs & (1u << repair);
}
