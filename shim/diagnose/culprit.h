/* Which of the objects on a stack may be named as the library to suspect. */
#pragma once

#include <stdbool.h>

#include "system/elf.h"

/* Returns true for what others call by mistake, or only pass a call on: the C library, the C++ run-time, sanitizers, libffi, and
 * this library. Goes by the soname, or by the file's name if there is none. Async-signal-safe. */
bool culprit_is_runtime(const struct elf_object *object);

/* Returns true for a module of CPython's own standard library (lib-dynload/). It holds the GIL, or crashes, by itself like CPython
 * does. But if code of CPython's is further in on the stack, it has only called that (_functools, _interpreters, _asyncio), and is
 * no more to suspect than the interpreter is. Async-signal-safe. */
bool culprit_is_pythons_module(const struct elf_object *object);
