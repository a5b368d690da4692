#include "cpython/real.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "process/locks.h"
#include "process/options.h"
#include "system/dlsym_hook.h"
#include "system/loader.h"
#include "system/redirect.h"
#include "system/text.h"

struct real real;
struct real_status real_status;
bool real_is_ambiguous;
unsigned real_changes = 1;

const char *const real_api_names[REAL_API_COUNT] = {
#define API(type, name, parameters, arguments) #name,
#include "api.def"
#undef API
};

static const char *const use_names[] = {
#define USE(type, name, parameters) #name,
#define USE_DATA(type, name) #name,
#include "uses.def"
#undef USE
#undef USE_DATA
};
enum { USE_COUNT = sizeof use_names / sizeof use_names[0] };

/* struct real is nothing but pointers, in the order of the two lists. */
_Static_assert(sizeof(struct real) == (REAL_API_COUNT + USE_COUNT) * sizeof(void *), "struct real has padding");

/* The CPythons of the process, in load order. The first is served. */
enum { CPYTHON_MAX = 4 };
static struct cpython {
    struct elf_object object;
    bool is_executable;
    char path[512];
    struct real functions;
} cpythons[CPYTHON_MAX];
static size_t cpython_count;

/* Guards binding. Under it, only the loader's locks are taken: the write lock, and in the constructor dlsym's, too
 * (chain_other_preloads). No call into CPython is made under it. */
static struct lock binding_lock = LOCK_INITIALIZER;
static uint64_t seen_load_count;
static bool imports_are_left; /* to be wrapped: another thread was opening the library. Guarded by binding_lock. */

bool real_is_self(const struct elf_object *object) {
    return elf_find_export(object, "gilshim_version") != NULL;
}

struct finding {
    struct elf_object objects[CPYTHON_MAX];
    bool is_executable[CPYTHON_MAX];
    bool is_relocated[CPYTHON_MAX];
    size_t count;
    size_t position;
};

/* Another preload that wraps the API is not a CPython: it has no Py_GetVersion. Neither is a libpython that is stripped of
 * half its API, but it is found all the same, so that it is refused with a message. */
bool real_is_cpython(const struct elf_object *object) {
    return elf_find_export(object, "PyGILState_Ensure") &&
           (elf_find_export(object, "Py_GetVersion") || elf_find_export(object, "Py_Initialize")) &&
           !real_is_self(object);
}

static bool collect_cpython(const struct elf_object *object, void *argument) {
    struct finding *finding = argument;
    bool is_first = finding->position++ == 0;
    if (real_is_cpython(object) && finding->count < CPYTHON_MAX) {
        finding->objects[finding->count] = *object;
        finding->is_relocated[finding->count] = redirect_is_relocated(object);
        finding->is_executable[finding->count++] = is_first && object->name[0] == '\0';
    }
    return false;
}

static void fill(struct real *functions, const struct elf_object *object) {
    void **slot = (void **)functions;
    for (size_t i = 0; i < REAL_API_COUNT + USE_COUNT; i++) {
        const ElfW(Sym) *symbol =
            elf_find_export(object, i < REAL_API_COUNT ? real_api_names[i] : use_names[i - REAL_API_COUNT]);
        slot[i] = symbol ? elf_symbol_address(object, symbol) : NULL;
    }
}

/* Returns why this CPython can't be served, or NULL. Looks for what the rules can't do without, in every version. */
static const char *refusal_of(const struct real *functions) {
    bool complete = functions->PyGILState_Release && functions->PyGILState_GetThisThreadState &&
                    functions->PyEval_SaveThread && functions->PyEval_RestoreThread &&
                    functions->PyEval_AcquireThread && functions->PyEval_ReleaseThread &&
                    functions->PyThreadState_New && functions->PyThreadState_Swap && functions->PyThreadState_Delete &&
                    functions->PyThreadState_Clear && functions->PyThreadState_DeleteCurrent &&
                    functions->PyInterpreterState_Head && functions->PyInterpreterState_ThreadHead &&
                    functions->PyThreadState_Next && functions->Py_IsInitialized;
    bool has_current = functions->PyThreadState_GetUnchecked || functions->_PyThreadState_GetCurrent ||
                       functions->_PyThreadState_UncheckedGet || functions->_PyThreadState_Current;
    return !complete      ? "this libpython exports only part of the C API"
           : !has_current ? "this CPython does not tell which thread state is attached"
                          : NULL;
}

/* Takes the next definition behind this library where another preload wraps the same function and must stay in the
 * chain. */
static void chain_other_preloads(const struct elf_object *object) {
    void **slot = (void **)&real;
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        void *next = slot[i] ? libc_real_dlsym(RTLD_NEXT, real_api_names[i]) : NULL;
        struct elf_object owner;
        if (next && next != slot[i] && elf_find_by_address(next, &owner) && !elf_is_same(&owner, object)) {
            slot[i] = next;
        }
    }
}

static void redirect_exports(const struct cpython *cpython) {
    struct redirect redirect;
    const ElfW(Sym) *symbols[REAL_API_COUNT] = {NULL};
    void **own = (void **)&cpython->functions;
    void **bound = (void **)&real;
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        /* If another preload stands between, its RTLD_NEXT must still find the real function. */
        if (own[i] && own[i] == bound[i]) {
            symbols[i] = elf_find_export(&cpython->object, real_api_names[i]);
        }
    }
    if (redirect_begin(&redirect, &cpython->object, symbols, REAL_API_COUNT) != 0) {
        if (cpython->is_executable) {
            real_status.binding = REAL_REFUSED;
            real_status.refusal = "the executable's symbol table can't be made writable";
        }
        return;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        if (symbols[i]) {
            redirect_export(&redirect, symbols[i], real_wrappers[i]);
            real_status.redirected++;
        }
    }
    redirect_end(&redirect);
}

/* Returns the served CPython's own function of that name if it is a wrapped one, and stores its number in *index.
 * Returns NULL otherwise. */
static const void *own_function(const char *name, size_t *index) {
    if (name[0] != 'P' || name[1] != 'y') {
        return NULL;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        if (strcmp(name, real_api_names[i]) == 0) {
            *index = i;
            return ((void **)&cpythons[0].functions)[i];
        }
    }
    return NULL;
}

static const void *give_back(const char *name, const void *bound) {
    (void)bound;
    size_t index;
    return own_function(name, &index);
}

static const void *wrap_bound(const char *name, const void *bound) {
    size_t index;
    const void *own = own_function(name, &index);
    return own && own == bound ? real_wrappers[index] : NULL;
}

/* Libraries that were bound to this CPython's functions before it was found are bound to the wrappers: those that a static
 * executable needs, and those that have brought their libpython themselves, opened with RTLD_DEEPBIND. Libraries that are
 * loaded later go by the redirected exports. */
static bool wrap_imports(const struct elf_object *object, void *starting) {
    if (elf_is_same(object, &cpythons[0].object) || real_is_self(object)) {
        return false;
    }
    if (*(const bool *)starting || redirect_is_relocated(object)) {
        redirect_imports(object, wrap_bound);
    } else {
        imports_are_left = true;
    }
    return false;
}

static void wrap_all_imports(bool starting) {
    imports_are_left = false;
    elf_visit(wrap_imports, &starting);
}

/* Withdraws our wrappers of functions that this version lacks, so that nobody who looks for such a function finds
 * one. */
static void withdraw_missing(void) {
    struct elf_object self;
    struct redirect redirect;
    const ElfW(Sym) *symbols[REAL_API_COUNT] = {NULL};
    if (!elf_find_by_address(&real, &self)) {
        return;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        symbols[i] = ((void **)&real)[i] ? NULL : elf_find_export(&self, real_api_names[i]);
    }
    if (redirect_begin(&redirect, &self, symbols, REAL_API_COUNT) != 0) {
        return;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        if (symbols[i]) {
            redirect_withdraw(&redirect, symbols[i]);
        }
    }
    redirect_end(&redirect);
}

static void note_path(struct cpython *cpython) {
    ssize_t length = 0;
    if (cpython->is_executable) {
        length = readlink("/proc/self/exe", cpython->path, sizeof cpython->path - 1);
        length = length < 0 ? 0 : length;
    } else {
        length = (ssize_t)strnlen(cpython->object.name, sizeof cpython->path - 1);
        memcpy(cpython->path, cpython->object.name, (size_t)length);
    }
    cpython->path[length] = '\0';
}

const char *real_path(size_t number) {
    return number < cpython_count ? cpythons[number].path : NULL;
}

const struct elf_object *real_object(void) {
    return cpython_count ? &cpythons[0].object : NULL;
}

static void bind_first(bool starting) {
    struct cpython *cpython = &cpythons[0];
    real_status = (struct real_status){.generation = real_status.generation};
    real_status.path = cpython->path;
    real = cpython->functions;
    if (starting && !cpython->is_executable) {
        chain_other_preloads(&cpython->object);
    }
    real_status.binding = cpython->is_executable ? REAL_STATIC : starting ? REAL_SHARED : REAL_LATE;
    real_status.refusal = refusal_of(&real);
    if (real_status.refusal) {
        real_status.binding = REAL_REFUSED;
    }
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        bool present = ((void **)&real)[i] != NULL;
        real_status.bound += present;
        real_status.missing += !present;
    }
    if (options.mode == MODE_OFF || real_status.binding == REAL_REFUSED) {
        return;
    }
    redirect_exports(cpython);
    if (!cpython->is_executable) {
        real_status.given_back = (unsigned)redirect_imports(&cpython->object, give_back);
    }
    if (real_status.binding != REAL_SHARED) {
        wrap_all_imports(starting);
    }
    withdraw_missing();
}

static bool is_known(const struct elf_object *object) {
    for (size_t i = 0; i < cpython_count; i++) {
        if (cpythons[i].object.bias == object->bias && cpythons[i].object.symbols == object->symbols) {
            return true;
        }
    }
    return false;
}

/* Returns true if the object is the libpython that is served. That libpython may have been closed, and the same be open
 * again, elsewhere or at the same place. It then has its own exports again, and is not the one that is served. */
static bool is_served_one(const struct elf_object *object) {
    if (cpython_count == 0 || object->symbols != cpythons[0].object.symbols) {
        return false;
    }
    const ElfW(Sym) *symbol = elf_find_export(object, "PyThreadState_New");
    bool was_redirected = real_status.redirected && real.PyThreadState_New == cpythons[0].functions.PyThreadState_New;
    return !was_redirected || elf_symbol_address(object, symbol) == real_wrappers[REAL_INDEX_PyThreadState_New];
}

static void change(void) {
    __atomic_add_fetch(&real_changes, 1, __ATOMIC_SEQ_CST);
}

/* Returns false if there is a CPython that is to be bound later, or a library whose imports are, since another thread is
 * still opening it. */
static bool look(bool starting) {
    struct finding finding = {.count = 0};
    elf_visit(collect_cpython, &finding);
    bool is_still_open = false;
    for (size_t i = 0; i < finding.count; i++) {
        is_still_open = is_still_open || is_served_one(&finding.objects[i]);
    }
    if (cpython_count && !is_still_open) {
        change();
        cpython_count = 0;
        imports_are_left = false;
        real_is_ambiguous = false;
        memset(&real, 0, sizeof real);
        real_status.binding = REAL_UNBOUND;
        real_status.generation++;
        change();
    }
    if (imports_are_left) {
        wrap_all_imports(false);
    }
    bool is_complete = true;
    for (size_t i = 0; i < finding.count && cpython_count < CPYTHON_MAX; i++) {
        if (is_known(&finding.objects[i])) {
            continue;
        }
        if (!starting && !finding.is_relocated[i]) {
            is_complete = false;
            continue;
        }
        change();
        struct cpython *cpython = &cpythons[cpython_count];
        cpython->object = finding.objects[i];
        cpython->is_executable = finding.is_executable[i];
        fill(&cpython->functions, &cpython->object);
        note_path(cpython);
        real_status.generation++;
        if (cpython_count++ == 0) {
            bind_first(starting);
        } else {
            real_is_ambiguous = true;
        }
        change();
    }
    return is_complete && !imports_are_left;
}

bool real_bind(bool starting) {
    uint64_t load_count = loader_changes();
    if (!starting && load_count == __atomic_load_n(&seen_load_count, __ATOMIC_ACQUIRE)) {
        return real_is_bound();
    }
    bool is_inside = !locks_take(&binding_lock); /* in a signal handler that has interrupted a look */
    if (!is_inside && look(starting)) {
        __atomic_store_n(&seen_load_count, load_count, __ATOMIC_RELEASE);
    }
    locks_give(&binding_lock);
    return real_is_bound();
}

bool real_has_news(void) {
    return loader_changes() != __atomic_load_n(&seen_load_count, __ATOMIC_ACQUIRE);
}

void real_before_fork(void) {
    locks_take(&binding_lock);
}

void real_after_fork(void) {
    locks_give(&binding_lock);
}

const struct real *real_of_caller(const void *caller) {
    struct elf_object object;
    if (!elf_find_by_address(caller, &object)) {
        return &real;
    }
    for (size_t i = 0; i < cpython_count; i++) {
        const char *soname = elf_soname(&cpythons[i].object);
        if (elf_is_same(&object, &cpythons[i].object) || (soname && elf_needs(&object, soname))) {
            return i == 0 ? &real : &cpythons[i].functions;
        }
    }
    return &real;
}

const struct real *real_behind(void) {
    static struct real behind;
    void **slot = (void **)&behind;
    for (size_t i = 0; i < REAL_API_COUNT; i++) {
        __atomic_store_n(&slot[i], libc_real_dlsym(RTLD_NEXT, real_api_names[i]), __ATOMIC_RELAXED);
    }
    dlerror(); /* clears the message that each missing name leaves */
    return &behind;
}
