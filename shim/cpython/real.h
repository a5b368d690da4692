/* The real functions of the CPython in this process, and how the wrappers came in front of them.
 *
 * There are three ways in, and one set of wrappers:
 *   shared   libpython is linked to the program. The wrappers win by preload order. The real functions are
 *            libpython's, or those of another preload behind us.
 *   static   The executable contains CPython and comes first in every lookup, so its exports are redirected.
 *   late     libpython is opened by dlopen. It is found at the first call of a wrapper, or when somebody asks dlsym for
 *            one of our names, or for anything in a handle that brings it (start_before_dlsym). Libraries that were
 *            bound to it until then, because they were opened with RTLD_DEEPBIND and brought it, get the wrappers.
 * In all of them, libpython's exports are redirected as well, so that dlsym(handle) returns the wrapper. libpython's
 * own internal calls get its own functions back where they pass the PLT. Every build then behaves alike, and it is
 * cheaper. */
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

/* The names of the wrapped functions, in the order of api.def. */
extern const char *const real_api_names[REAL_API_COUNT];

/* Defined in hooks.c, in the order of api.def: the wrappers' addresses as this object means them, whatever else in the
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

/* Moves on before and after what is bound changes: `real`, real_status, real_is_ambiguous. Never 0. */
extern unsigned real_changes __attribute__((visibility("hidden")));

/* Looks for a CPython and binds to it. `starting` is true in the constructor and false later. If it is false, nothing
 * is done while the set of loaded objects is unchanged since the last look. Takes a lock of its own and the loader's
 * (locks.h). Makes no call into CPython. Returns true if a CPython is bound. */
bool real_bind(bool starting);

/* Returns true if real_bind has something to look at. Locks: as loader_changes. */
bool real_has_news(void);

/* For fork.c alone. */
void real_before_fork(void);
void real_after_fork(void);

static inline bool real_is_bound(void) {
    return real_status.binding != REAL_UNBOUND;
}

/* Returns true if calls are to be judged at all: bound, and not refused. */
static inline bool real_is_served(void) {
    return real_status.binding != REAL_UNBOUND && real_status.binding != REAL_REFUSED;
}

/* For a process with two libpythons, where preload order brings the modules of both here. Returns the functions of the
 * libpython that the caller is linked to, or `real` if that can't be told. Locks and async-signal-safety: as
 * loader_find. */
const struct real *real_of_caller(const void *caller);

/* For a process without a CPython. Returns what other objects define under our names (a stand-in, another preload), so
 * that a call goes where it would go without us. Takes the loader's lock. */
const struct real *real_behind(void);

/* Return true if the object is a CPython, complete or not; and if it is this library. Async-signal-safe. */
bool real_is_cpython(const struct elf_object *object);
bool real_is_self(const struct elf_object *object);

/* Returns the object that is the CPython which is bound, or NULL if none is. It is owned by real.c, and constant until
 * the next binding. */
const struct elf_object *real_object(void);

/* Returns the file of the CPython with that number, from 0 in load order, or NULL if there are not as many.
 * Async-signal-safe. */
const char *real_path(size_t number);

/* True once a second libpython has been seen. From then on nothing is repaired, and calls go to the caller's own, until
 * the first one is closed. */
extern bool real_is_ambiguous __attribute__((visibility("hidden")));
