/* Checks that gilshim can be built here. The compiler's command line includes this file in front of every source.
 * gilshim rests on glibc's loader (preload order, where dlsym looks, how symbols are relocated) and on the ELF of two
 * processors. */
#ifndef GILSHIM_PLATFORM_H
#define GILSHIM_PLATFORM_H

#if !defined(__linux__)
#error "gilshim is for Linux: on other systems the loader, and how a library gets in front of another, are different"
#elif !defined(__LP64__)
#error "gilshim is for 64-bit programs: neither 32-bit nor x32"
#elif !defined(__x86_64__) && !defined(__aarch64__)
#error "gilshim runs on x86-64 and AArch64 only"
#else
#ifndef __ASSEMBLER__
#include <features.h>
#ifndef __GLIBC__
#error "gilshim needs glibc: it rests on glibc's loader, and musl's is different"
#endif
#endif
#endif

#endif
