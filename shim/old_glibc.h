/* Links the library to the symbol versions of old C libraries, so that one built on a new Debian runs with glibc 2.28
 * (`make wheel`). The compiler's command line includes this file in front of every C source.
 *
 * glibc 2.34 moved libdl and libpthread into libc and gave their functions a new version; the old version stays for programs
 * that were linked before. `.symver` asks for the old one. ld.so looks for it in all objects, whatever their name, so it is
 * found in libdl.so.2 and libpthread.so.0 too, which the library therefore has to name as needed (see the Makefile). */
#pragma once

#include <sys/stat.h>

#if defined(__x86_64__)
#define GLIBC_BASE "GLIBC_2.2.5"
#define GLIBC_CANCEL "GLIBC_2.3.3"
#elif defined(__aarch64__)
#define GLIBC_BASE "GLIBC_2.17"
#define GLIBC_CANCEL "GLIBC_2.17"
#endif

#define LINK_TO(name, old, version) __asm__(".symver " #name "," #old "@" version)

LINK_TO(dlerror, dlerror, GLIBC_BASE);
LINK_TO(dlopen, dlopen, GLIBC_BASE);
LINK_TO(dlvsym, dlvsym, GLIBC_BASE);
LINK_TO(pthread_attr_setstacksize, pthread_attr_setstacksize, GLIBC_BASE);
LINK_TO(pthread_detach, pthread_detach, GLIBC_BASE);
LINK_TO(pthread_getspecific, pthread_getspecific, GLIBC_BASE);
LINK_TO(pthread_key_create, pthread_key_create, GLIBC_BASE);
LINK_TO(pthread_setspecific, pthread_setspecific, GLIBC_BASE);
LINK_TO(pthread_sigmask, pthread_sigmask, GLIBC_BASE); /* in libc since 2.32 */
LINK_TO(__pthread_register_cancel, __pthread_register_cancel, GLIBC_CANCEL);
LINK_TO(__pthread_unregister_cancel, __pthread_unregister_cancel, GLIBC_CANCEL);
LINK_TO(__pthread_unwind_next, __pthread_unwind_next, GLIBC_CANCEL);

/* The headers of glibc 2.38 name these; they differ in how they read 0b. */
LINK_TO(__isoc23_strtol, strtol, GLIBC_BASE);
LINK_TO(__isoc23_strtoull, strtoull, GLIBC_BASE);

/* glibc 2.33 made functions of what had been inline calls of these. */
#if defined(__x86_64__)
#define STAT_VERSION 1
#else
#define STAT_VERSION 0
#endif
int __xstat(int version, const char *path, struct stat *status);
int __lxstat(int version, const char *path, struct stat *status);
int __fxstat(int version, int fd, struct stat *status);
LINK_TO(__xstat, __xstat, GLIBC_BASE);
LINK_TO(__lxstat, __lxstat, GLIBC_BASE);
LINK_TO(__fxstat, __fxstat, GLIBC_BASE);
#define stat(path, status) __xstat(STAT_VERSION, path, status)
#define lstat(path, status) __lxstat(STAT_VERSION, path, status)
#define fstat(fd, status) __fxstat(STAT_VERSION, fd, status)
