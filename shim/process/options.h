/* GILSHIM_OPTIONS: key=value:key=value, as the sanitizers have it. An unknown key or a bad value is a warning, not a
 * fatal error. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum repair {
#define REPAIR(name, without) REPAIR_##name,
#include "repairs.def"
#undef REPAIR
    REPAIR_COUNT
};
enum { OPTIONS_ALL_REPAIRS = (1u << REPAIR_COUNT) - 1 };

enum mode {
    MODE_REPAIR,
    MODE_OBSERVE, /* change nothing, say what would be repaired */
    MODE_STRICT,  /* like MODE_OBSERVE, and end the process at the first */
    MODE_OFF,
};

enum log_format { LOG_TEXT, LOG_JSON };
enum color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

enum { EXITCODE_NONE = -1, EXITCODE_STRICT = 66, HISTORY_MAX = 4096, TIMELINE_MB = 256 };

struct options {
    enum mode mode;
    uint32_t repairs; /* bit 1 << enum repair */
    int verbosity;    /* 0: only when dying; 1: each kind of repair once per calling site; 2: also binding and probes */
    bool quiet; /* verbosity=0 was asked for and is not just the default: nothing is told but what ends the process */
    bool help;  /* print the options and go on */
    bool check; /* say what can be served, instead of running the program */
    bool check_calls;        /* report calls of Python's API by threads that have no state attached */
    bool check_locks;        /* report orders of locks that can deadlock with the GIL */
    uint64_t hold_ns;        /* ... and calls that block for longer with the GIL held; 0: none */
    bool check_aborts;       /* abort at the first finding of these two */
    bool keep;               /* keep the state that Ensure made for a foreign thread until the thread ends */
    bool crash;              /* a report when the process dies of a crash */
    bool summary;            /* a summary when the process ends */
    uint64_t summary_stderr; /* if it goes to stderr, only if that had this inode at start; 0: always */
    enum log_format log_format;
    enum color color;
    int history;             /* events that are kept of each thread; 0: repairs only */
    uint64_t stall_ns;       /* a thread that waits longer is reported; 0: none is watched */
    int exitcode;            /* the status if anything was reported; EXITCODE_NONE: the program's own */
    char log_path[1024];     /* "": stderr */
    char timeline[1024];     /* file of the timeline; "": none */
    bool timeline_wait;      /* threads wait for its writer, so that nothing is lost */
    int timeline_mb;         /* the largest size of the file and its predecessor together, in MiB */
    char suppressions[1024]; /* file of patterns; "": none */
};

/* The process's options. options_read reads them once; they are constant afterwards. */
extern struct options options;

/* Called with each fault. `text` is one line without a newline. */
typedef void options_complaint(const char *text);

/* Sets every option to its default. */
void options_default(struct options *result);

/* Reads `string` (NULL: nothing to read) over the values in `result`. A pair that is wrong changes nothing and is
 * passed to `complain`. A value can't contain a colon. */
void options_parse(struct options *result, const char *string, options_complaint *complain);

/* Reads GILSHIM_OPTIONS into `options` with secure_getenv, which returns nothing in a set-uid process. Constructor
 * only. */
void options_read(void);

/* Returns true if messages go to a file of the process's own, not to stderr or stdout. Async-signal-safe. */
bool options_log_is_file(void);

/* Says what was wrong in GILSHIM_OPTIONS when it was read. It is a call of its own so that a process that turns out to
 * have no CPython stays silent. */
void options_complain(options_complaint *complain);

/* Prints the text of help=1: each option with its default. `print` is called once per line, without a newline. */
void options_help(options_complaint *print);

/* Returns true if nothing is changed and everything is reported: observe and strict. */
static inline bool options_look_on(void) {
    return options.mode == MODE_OBSERVE || options.mode == MODE_STRICT;
}

/* Returns true if the GIL sanitizer is wanted, by either of its checks. */
static inline bool options_sanitize(void) {
    return options.mode != MODE_OFF && (options.check_calls || options.check_locks);
}

/* Return the repair's name, and whether the repair is switched on. */
const char *options_repair_name(enum repair repair);
static inline bool options_repairs(enum repair repair) {
    return options.repairs & (1u << repair);
}
