/* The only way in which the shim asks ld.so about the loaded objects. Knows nothing of Python. locks.h says which locks
 * are taken for it, and where none may be taken.
 *
 * From glibc 2.35 on, an object is found by address without any lock (_dl_find_object). Before that, and for visits to
 * all objects, dl_iterate_phdr is called, which takes the loader's write lock. No other thread of this process is
 * inside that call for us while one thread forks. A fork child does not ask for the lock: glibc does not reset it there
 * (up to 2.41 at least), and one of the program's own threads may have held it. The child walks the list that debuggers
 * read instead. */
#pragma once

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where an object is. A place can be compared, but must be read with care, since the object may have been closed. */
struct loader_place {
    const struct link_map *map;
    uintptr_t start, end; /* its addresses: from its first page to behind the last byte */
};

/* Finds the object that holds `address`, which must not go away during the call: it is code that this thread runs or
 * returns to, or CPython's. Fills dlpi_addr, dlpi_name, dlpi_phdr and dlpi_phnum. The last two are NULL and 0 if the
 * headers are not in memory in their usual place. Returns false if there is no such object. From glibc 2.35 on, and in
 * a fork child, async-signal-safe and without a lock; otherwise takes the loader's write lock. */
bool loader_find(const void *address, struct dl_phdr_info *info);

/* Finds the place of any address, which may be stale. Returns false if there is none, or (before glibc 2.35) if it
 * can't be told. Takes no lock and dereferences nothing that may go away. Async-signal-safe. */
bool loader_locate(const void *address, struct loader_place *place);

/* Returns the address of the program headers of the object at `place`, and stores how many there are in *count. Returns
 * 0 if they are not where they are expected, or the object has gone. Takes no lock. Async-signal-safe. */
uintptr_t loader_headers(const struct loader_place *place, unsigned *count);

/* Returns true if `address`, which may be stale, is in an object's executable segment, or in an object whose program
 * headers are not found. Takes no lock. Async-signal-safe. */
bool loader_is_code(const void *address);

/* Returns a number that stands for the object that holds `address` as long as it is loaded, or 0 if there is none. The
 * object must not go away during the call. Locks: as loader_find. */
uintptr_t loader_object_of(const void *address);

/* Calls `visit` for each object in load order until it returns a value other than 0, and returns that value. This is
 * dl_iterate_phdr, which holds its write lock during the calls, so `visit` must not allocate, call dl* functions or
 * wait for anything. In a fork child no lock is taken, and there is no dlpi_adds, dlpi_tls_data and so on (`size` says
 * so). */
int loader_iterate(int (*visit)(struct dl_phdr_info *info, size_t size, void *argument), void *argument);

/* Returns a number that changes when the set of loaded objects does. Locks: as loader_iterate. */
uint64_t loader_changes(void);

/* Counts the calls of dlclose, once before and once after each. As long as it does not change, an address means what it
 * meant before. */
extern unsigned loader_closings __attribute__((visibility("hidden")));

/* Constructor: finds what this glibc has. Before it runs, glibc is treated as an old one. */
void loader_start(void);

/* From now on, the calling thread asks for no lock of the loader, as in a fork child: it handles the crash of the process,
 * and another thread, or what it has interrupted itself, may never give that lock back. Async-signal-safe. */
void loader_avoid_locks(void);

/* Calls `run` while this thread has dl_load_lock, so that no other thread opens or closes a library meanwhile. For dlsym alone,
 * whose caller asks for that lock in any case. Calls it without the lock where ld.so does not play along. */
void loader_hold(void (*run)(void));

/* For fork.c alone. loader_before_fork is called before a fork. It waits until no other thread is in the loader for us,
 * for a tenth of a second at most (a thread that was killed in there never comes out). Then no other thread enters it
 * until loader_after_fork, or until that thread has waited for a second. */
void loader_before_fork(void);
void loader_after_fork(bool in_child);
