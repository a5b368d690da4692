/* The real functions of the CPython in this process, and how the wrappers came in front of them.
 *
 * Three ways in, one set of wrappers:
 *   shared   libpython is linked to the program: the wrappers win by preload order; the real functions are RTLD_NEXT's.
 *   static   the executable contains CPython and comes first in every lookup: its exports are redirected.
 *   late     libpython is opened by dlopen: found at the first call of a wrapper, or when somebody asks dlsym for one
 *            of our names (dlsym_hook.S), whichever comes first.
 * In all of them libpython's exports are redirected as well, so that dlsym(handle) answers the wrapper, and its own
 * internal calls get its own functions back where they pass the PLT: one behaviour on every build, and cheaper. */
#pragma once

#include <stdbool.h>

#include "cpython/cpython.h"
#include "system/elf.h"

struct real {
#define API(type, name, parameters, arguments) type(*name) parameters;
#include "api.def"
#undef API
#define USE(type, name, parameters) type(*name) parameters;
#define USE_DATA(type, name) type *name;
#include "uses.def"
#undef USE
#undef USE_DATA
};

/* All NULL until bound; a function that this version lacks stays NULL. Constant between two bindings. */
extern struct real real __attribute__((visibility("hidden")));

enum {
#define API(type, name, parameters, arguments) REAL_INDEX_##name,
#include "api.def"
#undef API
    REAL_API_COUNT
};

/* Their names, in the order of api.def. */
extern const char *const real_api_names[REAL_API_COUNT];

/* Defined by hooks.c, in the order of api.def: the wrappers' addresses as this object means them, whatever else in the
 * process exports the name. */
extern const void *const real_wrappers[REAL_API_COUNT];

enum real_binding { REAL_UNBOUND, REAL_SHARED, REAL_STATIC, REAL_LATE, REAL_REFUSED };

struct real_status {
    unsigned generation; /* counts the looks that found something new: another CPython, or none any more */
    enum real_binding binding;
    const char *path;    /* file of the executable or libpython; NULL before there is one */
    unsigned bound;      /* wrapped functions that this CPython has */
    unsigned redirected; /* of these, exports redirected */
    unsigned given_back; /* import slots of libpython that got its own functions back */
    unsigned missing;    /* wrapped functions that it lacks */
    const char *refusal; /* REAL_REFUSED: why nothing is repaired */
};
extern struct real_status real_status __attribute__((visibility("hidden")));

/* Looks for a CPython and binds to it. In the constructor: `starting` true. Later: false; then it does nothing while
 * the set of loaded objects is unchanged since the last look. Takes a lock of its own, and the loader's for reading;
 * no call into CPython is made. Returns whether one is bound. */
bool real_bind(bool starting);

/* For fork.c alone. */
void real_before_fork(void);
void real_after_fork(void);

static inline bool real_is_bound(void) {
    return real_status.binding != REAL_UNBOUND;
}

/* Whether calls are to be judged at all: bound, not refused. */
static inline bool real_is_served(void) {
    return real_status.binding != REAL_UNBOUND && real_status.binding != REAL_REFUSED;
}

/* With two libpythons in one process, preload order brings both one's modules here. The functions of the libpython that
 * the caller is linked to; `real` where that can't be told. Async-signal-safe. */
const struct real *real_of_caller(const void *caller);

/* Without a CPython: what other objects define under our names (a stand-in, another preload), so that a call goes where
 * it would go without us. Takes the loader's lock. */
const struct real *real_behind(void);

/* The file of the CPython with that number, from 0 in load order; NULL: there are not as many. Async-signal-safe. */
const char *real_path(size_t number);

/* True once a second libpython has been seen: nothing is repaired from then on, calls go to the caller's own. */
extern bool real_is_ambiguous __attribute__((visibility("hidden")));
