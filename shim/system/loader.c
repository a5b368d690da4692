#include "system/loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "system/dlsym_hook.h"
#include "system/thread.h"

enum { HEADER_PAGE = 4096, HEADERS_MAX = 24 };

/* struct dl_find_object of <dlfcn.h>, which glibc before 2.35 does not have. */
struct found {
    unsigned long long flags;
    void *start;
    void *end;
    struct link_map *map;
    void *reserved[12];
};
static int (*find_object)(void *address, struct found *found);

unsigned loader_closings;

/* __libc_single_threaded of glibc 2.32 and later: true as long as the process has had no second thread. */
static const char *is_single_threaded;

/* ---- fork ------------------------------------------------------------------------------------------------------- */

static pid_t process;   /* the constructor's process, or the last fork child that may use the loader's lock */
static bool is_child;   /* forked from a process with threads: one that is gone may have held the lock */
static bool was_single; /* whether the process had only one thread before the fork */

/* A signal handler may fork at any instruction, also in the middle of a call or of a fork, and its child goes on there. So a thread's
 * own count is raised first and lowered last: what the handler takes for its own then is at most one too many. */
static int inside;       /* our calls of dl_iterate_phdr that have not returned */
static int lost;         /* of these, how many never return */
static uintptr_t forker; /* the thread that is forking, which has binding_lock; 0: none */
static __thread int inside_here __attribute__((tls_model("initial-exec")));
static __thread int forks_here __attribute__((tls_model("initial-exec"))); /* its address stands for the thread */

/* Sleeps. This is not a cancellation point. */
static void rest(void) {
    const struct timespec time = {0, 50000};
    int saved_errno = errno;
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
    errno = saved_errno;
}

enum { RESTS_BEFORE_FORK = 2000, RESTS_OF_OTHERS = 20000 };

void loader_before_fork(void) {
    was_single = is_single_threaded && *(const volatile char *)is_single_threaded;
    forks_here++;
    __atomic_store_n(&forker, (uintptr_t)&forks_here, __ATOMIC_SEQ_CST);
    for (int i = 0; __atomic_load_n(&inside, __ATOMIC_SEQ_CST) - inside_here > lost; i++) {
        if (i == RESTS_BEFORE_FORK) {
            lost = __atomic_load_n(&inside, __ATOMIC_SEQ_CST) - inside_here;
            break;
        }
        rest();
    }
}

void loader_after_fork(bool in_child) {
    if (in_child) {
        lost = 0;
        inside = inside_here;
        /* A signal handler that forks may have interrupted a call of ours, which has the lock as the parent's thread. */
        is_child = is_child || !was_single || inside_here;
        process = is_child ? process : getpid();
    }
    if (--forks_here == 0) {
        __atomic_store_n(&forker, 0, __ATOMIC_SEQ_CST);
    }
}

static void leave(void) {
    __atomic_sub_fetch(&inside, 1, __ATOMIC_SEQ_CST);
    inside_here--;
}

static void enter(void) {
    for (int i = 0;; i++) {
        inside_here++;
        __atomic_add_fetch(&inside, 1, __ATOMIC_SEQ_CST);
        uintptr_t who_forks = __atomic_load_n(&forker, __ATOMIC_SEQ_CST);
        if (!who_forks || who_forks == (uintptr_t)&forks_here || inside_here > 1 || i == RESTS_OF_OTHERS) {
            return;
        }
        leave();
        rest();
    }
}

/* ---- the list of objects, without a lock ------------------------------------------------------------------------- */

/* Calls `look` with each entry of the list and a copy of it, until it returns true. Returns true if one call did. A
 * list that is being changed may seem to end early. */
static bool walk(bool (*look)(const struct link_map *map, const struct link_map *copy, void *argument),
                 void *argument) {
    enum { OBJECTS_MAX = 100000 };
    const struct link_map *map = _r_debug.r_map;
    struct link_map copy;
    for (int i = 0; i < OBJECTS_MAX && map && thread_read_memory(map, &copy, sizeof copy); i++, map = copy.l_next) {
        if (look(map, &copy, argument)) {
            return true;
        }
    }
    return false;
}

static bool is_executable(const struct link_map *map) {
    return map == _r_debug.r_map;
}

/* Copies the program headers of an object whose file header is at `base`, and stores their address in *at. Returns how
 * many there are, or 0 if they are not there. */
static size_t read_headers(uintptr_t base, ElfW(Phdr) *headers, const ElfW(Phdr) **at) {
    ElfW(Ehdr) header;
    if (!base || base % HEADER_PAGE || !thread_read_memory((const void *)base, &header, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof *headers ||
        header.e_phnum > HEADERS_MAX || header.e_phoff > HEADER_PAGE - header.e_phnum * sizeof *headers) {
        return 0;
    }
    *at = (const ElfW(Phdr) *)(base + header.e_phoff);
    return thread_read_memory(*at, headers, header.e_phnum * sizeof *headers) ? header.e_phnum : 0;
}

static size_t read_own_headers(ElfW(Phdr) *headers, const ElfW(Phdr) **at) {
    size_t count = getauxval(AT_PHNUM);
    *at = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    return *at && count <= HEADERS_MAX && thread_read_memory(*at, headers, count * sizeof *headers) ? count : 0;
}

static bool are_headers_of(const struct link_map *map, const ElfW(Phdr) *headers, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_DYNAMIC && map->l_addr + headers[i].p_vaddr == (uintptr_t)map->l_ld) {
            return true;
        }
    }
    return false;
}

/* Copies the program headers of the object with the entry `map`. `copy` is a copy of that entry, and `base` is the
 * address of the object's first page. Returns how many there are, or 0 if they are not found. */
static size_t find_headers(const struct link_map *map, const struct link_map *copy, uintptr_t base, ElfW(Phdr) *headers,
                           const ElfW(Phdr) **at) {
    size_t count = read_headers(base, headers, at);
    if (!are_headers_of(copy, headers, count)) {
        count = is_executable(map) ? read_own_headers(headers, at) : 0;
        count = are_headers_of(copy, headers, count) ? count : 0;
    }
    return count;
}

struct search {
    uintptr_t address;
    struct loader_place *place;
};

/* Before glibc 2.35, only the program headers say where an object's addresses are. The program headers of an object
 * that was linked for an address of its own are not found. */
static bool holds_address(const struct link_map *map, const struct link_map *copy, void *argument) {
    const struct search *search = argument;
    ElfW(Phdr) headers[HEADERS_MAX];
    const ElfW(Phdr) *at;
    size_t count = find_headers(map, copy, copy->l_addr, headers, &at);
    uintptr_t start = UINTPTR_MAX, end = 0;
    bool is_inside = false;
    for (size_t i = 0; i < count; i++) {
        uintptr_t from = copy->l_addr + headers[i].p_vaddr;
        if (headers[i].p_type == PT_LOAD) {
            is_inside = is_inside || search->address - from < headers[i].p_memsz;
            start = from < start ? from : start;
            end = from + headers[i].p_memsz > end ? from + headers[i].p_memsz : end;
        }
    }
    *search->place = (struct loader_place){map, start & -(uintptr_t)HEADER_PAGE, end};
    return is_inside;
}

bool loader_locate(const void *address, struct loader_place *place) {
    if (find_object) {
        struct found found;
        if (find_object((void *)address, &found) != 0) {
            return false;
        }
        *place = (struct loader_place){found.map, (uintptr_t)found.start, (uintptr_t)found.end};
        return true;
    }
    struct search search = {(uintptr_t)address, place};
    return walk(holds_address, &search);
}

static void describe(const struct link_map *map, const ElfW(Phdr) *headers, size_t count, struct dl_phdr_info *info) {
    memset(info, 0, sizeof *info);
    info->dlpi_addr = map->l_addr;
    info->dlpi_name = map->l_name ? map->l_name : "";
    info->dlpi_phdr = count ? headers : NULL;
    info->dlpi_phnum = (ElfW(Half))count;
}

struct tour {
    int (*visit)(struct dl_phdr_info *info, size_t size, void *argument);
    void *argument;
    int answer;
};

/* Returns true if the object is in memory. An object that another thread was closing when the process forked may still
 * be in the list, but not in memory. */
static bool is_mapped(const struct link_map *map, const struct link_map *copy, struct loader_place *place) {
    if (find_object) {
        return loader_locate(copy->l_ld, place) && place->map == map;
    }
    ElfW(Dyn) first;
    *place = (struct loader_place){.map = map, .start = copy->l_addr};
    return thread_read_memory(copy->l_ld, &first, sizeof first);
}

static bool visit_entry(const struct link_map *map, const struct link_map *copy, void *argument) {
    struct tour *tour = argument;
    struct loader_place place;
    struct dl_phdr_info info;
    ElfW(Phdr) headers[HEADERS_MAX];
    const ElfW(Phdr) *at = NULL;
    if (!is_mapped(map, copy, &place)) {
        return false;
    }
    size_t count = find_headers(map, copy, place.start, headers, &at);
    describe(copy, at, count, &info);
    tour->answer = tour->visit(&info, offsetof(struct dl_phdr_info, dlpi_adds), tour->argument);
    return tour->answer != 0;
}

/* ---- when the lock is free again --------------------------------------------------------------------------------- */

struct extent {
    unsigned count;
    uintptr_t sum;
};

static bool measure_entry(const struct link_map *map, const struct link_map *copy, void *argument) {
    struct extent *extent = argument;
    extent->count++;
    extent->sum = extent->sum * 31 + (uintptr_t)map + (uintptr_t)copy->l_ld;
    return false;
}

static __thread bool avoids_locks __attribute__((tls_model("initial-exec")));

void loader_avoid_locks(void) {
    avoids_locks = true;
}

/* Returns true if the loader's write lock must be left alone. A child that opens or closes a library has been able to
 * take the lock, so it is an ordinary process from then on. */
static bool is_lock_doubtful(struct extent *extent) {
    static struct extent first;
    if (avoids_locks) {
        memset(extent, 0, sizeof *extent);
        return true;
    }
    bool is_another = process && getpid() != process;
    if (!is_another && !is_child) {
        return false;
    }
    memset(extent, 0, sizeof *extent);
    walk(measure_entry, extent);
    if (!is_child) {
        return true; /* a child of vfork or of a system call: its memory may be the parent's */
    }
    static pid_t measured;
    if (measured != getpid()) {
        measured = getpid();
        first = *extent;
    } else if (first.count != extent->count || first.sum != extent->sum) {
        is_child = false;
        process = getpid();
        return false;
    }
    return true;
}

int loader_iterate(int (*visit)(struct dl_phdr_info *info, size_t size, void *argument), void *argument) {
    struct extent extent;
    if (is_lock_doubtful(&extent)) {
        struct tour tour = {visit, argument, 0};
        walk(visit_entry, &tour);
        return tour.answer;
    }
    enter();
    int answer = dl_iterate_phdr(visit, argument);
    leave();
    return answer;
}

static int read_changes(struct dl_phdr_info *info, size_t size, void *argument) {
    if (size >= offsetof(struct dl_phdr_info, dlpi_subs) + sizeof info->dlpi_subs) {
        *(uint64_t *)argument = info->dlpi_adds + info->dlpi_subs;
    }
    return 1;
}

uint64_t loader_changes(void) {
    struct extent extent;
    uint64_t count = 0;
    if (is_lock_doubtful(&extent)) {
        return extent.sum | (uint64_t)1 << 63;
    }
    enter();
    dl_iterate_phdr(read_changes, &count);
    leave();
    return count;
}

/* ---- by address -------------------------------------------------------------------------------------------------- */

struct match {
    uintptr_t address;
    struct dl_phdr_info *info;
};

static int match_address(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size;
    const struct match *match = argument;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && match->address - info->dlpi_addr - segment->p_vaddr < segment->p_memsz) {
            const struct link_map like = {.l_addr = info->dlpi_addr, .l_name = (char *)info->dlpi_name};
            describe(&like, info->dlpi_phdr, info->dlpi_phnum, match->info);
            return 1;
        }
    }
    return 0;
}

uintptr_t loader_headers(const struct loader_place *place, unsigned *count) {
    struct link_map copy;
    ElfW(Phdr) headers[HEADERS_MAX];
    const ElfW(Phdr) *at = NULL;
    *count = 0;
    if (thread_read_memory(place->map, &copy, sizeof copy)) {
        *count = (unsigned)find_headers(place->map, &copy, place->start, headers, &at);
    }
    return *count ? (uintptr_t)at : 0;
}

bool loader_is_code(const void *address) {
    struct loader_place place;
    struct link_map copy;
    ElfW(Phdr) headers[HEADERS_MAX];
    const ElfW(Phdr) *at = NULL;
    if (!loader_locate(address, &place) || !thread_read_memory(place.map, &copy, sizeof copy)) {
        return false;
    }
    size_t count = find_headers(place.map, &copy, place.start, headers, &at);
    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_LOAD && (headers[i].p_flags & PF_X) &&
            (uintptr_t)address - copy.l_addr - headers[i].p_vaddr < headers[i].p_memsz) {
            return true;
        }
    }
    return count == 0;
}

/* Reads memory directly, because the object stays. */
static void describe_at(const struct loader_place *place, struct dl_phdr_info *info) {
    const struct link_map *map = place->map;
    const ElfW(Ehdr) *header = (const void *)place->start;
    const ElfW(Phdr) *at = NULL;
    size_t count = 0;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_phentsize == sizeof *at &&
        header->e_phnum <= HEADERS_MAX && header->e_phoff <= HEADER_PAGE - header->e_phnum * sizeof *at) {
        at = (const ElfW(Phdr) *)(place->start + header->e_phoff);
        count = header->e_phnum;
    }
    if (!are_headers_of(map, at, count)) {
        at = is_executable(map) ? (const ElfW(Phdr) *)getauxval(AT_PHDR) : NULL;
        count = at ? getauxval(AT_PHNUM) : 0;
        count = are_headers_of(map, at, count) ? count : 0;
    }
    describe(map, at, count, info);
}

bool loader_find(const void *address, struct dl_phdr_info *info) {
    struct loader_place place;
    if (find_object) {
        if (!loader_locate(address, &place)) {
            return false;
        }
        describe_at(&place, info);
        return true;
    }
    struct match match = {(uintptr_t)address, info};
    return loader_iterate(match_address, &match) != 0;
}

uintptr_t loader_object_of(const void *address) {
    struct loader_place place;
    struct dl_phdr_info info;
    if (find_object) {
        return loader_locate(address, &place) ? (uintptr_t)place.map : 0;
    }
    size_t count = loader_find(address, &info) ? info.dlpi_phnum : 0;
    for (size_t i = 0; i < count; i++) {
        if (info.dlpi_phdr[i].p_type == PT_DYNAMIC) {
            return info.dlpi_addr + info.dlpi_phdr[i].p_vaddr;
        }
    }
    return 0;
}

/* ---- while nobody opens or closes -------------------------------------------------------------------------------- */

static __thread void (*held_run)(void) __attribute__((tls_model("initial-exec")));

static void do_nothing(void) {
}

/* ld.so's dlsym calls the resolver of an indirect function, and has its lock then: no other of its functions that take a
 * function to call does. What the name stands for is not used. */
typedef void hold_function(void);
__attribute__((used, no_sanitize("address", "thread", "undefined"))) static hold_function *resolve_hold(void) {
    void (*run)(void) = held_run;
    held_run = NULL;
    if (run) {
        run();
    }
    return do_nothing;
}
extern hold_function gilshim_hold;
__attribute__((visibility("default"), ifunc("resolve_hold"))) hold_function gilshim_hold;

void loader_hold(void (*run)(void)) {
    held_run = run;
    (void)libc_real_dlsym(RTLD_DEFAULT, "gilshim_hold");
    if (held_run) {
        held_run = NULL;
        run();
    }
}

void loader_start(void) {
    void *found = libc_real_dlsym(RTLD_DEFAULT, "_dl_find_object");
    memcpy(&find_object, &found, sizeof found);
    is_single_threaded = libc_real_dlsym(RTLD_DEFAULT, "__libc_single_threaded");
    dlerror(); /* clears the message that a missing name leaves */
    process = getpid();
}
