/* Brings the lock functions (locks.def) under check=locks: redirects what libc, libpthread and the C++ runtime export,
 * and binds the imports of the libraries that are loaded already. */
#pragma once

/* Constructor, if check=locks is on, before anything is redirected: finds where the process's lookups of the names end.
 * Takes the loader's locks as dlsym. */
void lock_binding_prepare(void);

/* Looks for libraries that have come since the last look. Does nothing unless check=locks is on. Cheap if nothing was
 * loaded. Takes no lock of its own; the loader's as elf_visit. Not for signal handlers. */
void lock_binding_look(void);
