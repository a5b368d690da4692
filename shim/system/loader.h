/* The door to what ld.so knows of the loaded objects: all that the shim asks of it goes through here. Knows nothing of
 * Python. Which locks are taken for it, and where none may be, is in locks.h.
 *
 * An object is found by address without any lock from glibc 2.35 on (_dl_find_object). Before, and for looks at all
 * objects, there is dl_iterate_phdr with the loader's write lock, which no thread of this process is inside of for us
 * while another one forks, and which is not asked for in a fork child: glibc does not reset it there (up to 2.41 at least),
 * and a thread of the program's own may have had it. There the list that debuggers read is walked instead. */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an object is: to be compared, and read with care, since it may have been closed meanwhile. */
struct loader_place {
    const struct link_map *map;
    uintptr_t start, end; /* its addresses, from the first page to behind the last */
};

/* Finds the object that holds `address`, which must not go away meanwhile: it is code that this thread runs or returns
 * to, or CPython's. Fills dlpi_addr, dlpi_name, and dlpi_phdr and dlpi_phnum, which are NULL and 0 where the headers are not
 * in memory in their usual place. False: there is none. Async-signal-safe and without a lock from glibc 2.35 on, and in a
 * fork child; takes the loader's write lock otherwise. */
bool loader_find(const void *address, struct dl_phdr_info *info);

/* Finds the place of any address, which may be stale. Takes no lock and dereferences nothing that may go away;
 * async-signal-safe. False: there is none, or (before glibc 2.35) it can't be told. */
bool loader_locate(const void *address, struct loader_place *place);

/* Where the program headers of the object at `place` are, and how many in *count; 0: not in its first page, or the object
 * has gone. Without a lock; async-signal-safe. */
uintptr_t loader_headers(const struct loader_place *place, unsigned *count);

/* Whether `address`, which may be stale, is in an object's executable segment. Locks: none. Async-signal-safe. */
bool loader_is_code(const void *address);

/* Which object holds `address`, which stays: a number of its own while it is loaded. 0: none. Locks: as loader_find. */
uintptr_t loader_object_of(const void *address);

/* Calls `visit` for each object in load order until it answers other than 0, and returns that: dl_iterate_phdr, whose
 * write lock is held meanwhile, so that `visit` must not allocate, call dl* functions or wait for anything. In a fork child
 * without the lock and with no dlpi_adds, dlpi_tls_data and so on (`size` says so). */
int loader_iterate(int (*visit)(struct dl_phdr_info *info, size_t size, void *argument), void *argument);

/* A number that changes when the set of loaded objects does. Locks: as loader_iterate. */
uint64_t loader_changes(void);

/* Counts the calls of dlclose, before and behind each: while it is the same, an address means what it meant before. */
extern unsigned loader_closings __attribute__((visibility("hidden")));

/* Constructor: finds what this glibc has. Before it, glibc is taken for an old one. */
void loader_start(void);

/* For fork.c alone. Before a fork: waits until no other thread is in the loader for us, for a tenth of a second at most
 * (one that was killed in there never comes out), and lets none in until after_fork. */
void loader_before_fork(void);
void loader_after_fork(bool in_child);
