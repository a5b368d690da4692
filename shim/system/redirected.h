/* Exports that redirect.c has redirected: what each led to before. A symbol's value is read in other places than lookups,
 * too: to name the function that holds an address, which is the original one's. Knows nothing of Python. */
#pragma once

#include <link.h>
#include <stddef.h>
#include <stdint.h>

/* Notes the address that `symbol`, in the symbol table of a loaded object, leads to before it is redirected. Does nothing
 * if that is one of our own functions: then it was redirected, and noted, before. Without room for more, the function
 * has no name from then on. Lock-free. */
void redirected_note(const ElfW(Sym) *symbol, uintptr_t original);

/* Returns the address that `symbol` led to before it was redirected. `address`: the one that it leads to now; returned if
 * the symbol was not redirected. Reads no memory of the object, which may be closed. Async-signal-safe. */
uintptr_t redirected_behind(const ElfW(Sym) *symbol, uintptr_t address);

/* Notes functions of ours that have taken the places of others: wrappers[i] stands for originals[i] (NULL: not known yet). There
 * is one such table, which is read whenever it is asked, so it must stay. */
void redirected_set_wrappers(const void *const *wrappers, const void *const *originals, size_t length);

/* Returns the function for which our function at `address` stands, by that table, else `address`. A thread may be in a function
 * that it called before its caller was led to ours. Async-signal-safe. */
uintptr_t redirected_original(uintptr_t address);
