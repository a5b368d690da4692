/* A loaded object as it is at this moment, while another thread may close it. Everything that is needed to name an
 * address in it is copied, by reads that do not fault on unmapped memory (thread_read_memory). Takes no lock and
 * allocates nothing; async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/loader.h"

struct glimpse {
    struct loader_place place;
    uintptr_t bias;
    uintptr_t headers; /* address of its program headers; 0: not where they are expected */
    unsigned header_count;
    uintptr_t symbols, strings; /* 0: it has none, or was closed */
    uint32_t symbol_count;
    char name[256]; /* as ld.so knows it, truncated; "" for the executable */
};

/* Looks at the object that holds `address`, which may be stale. Returns false if there is none, or none any more. */
bool glimpse_take(struct glimpse *glimpse, const void *address);

/* Copies the name of the exported symbol of this type (STT_FUNC, STT_OBJECT) that holds `address`, truncated to
 * `capacity`, and stores how far into it in *offset. Returns false if none holds the address, or the object has gone. */
bool glimpse_symbol_at(const struct glimpse *glimpse, const void *address, unsigned type, char *name, size_t capacity,
                       size_t *offset);

/* The same for functions. */
bool glimpse_function_at(const struct glimpse *glimpse, const void *address, char *name, size_t capacity,
                         size_t *offset);
