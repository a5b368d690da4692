/* A loaded object as it is at this moment, while another thread may close it: what is needed to name an address in it, all
 * copied, by reads that can't fault (thread_read_memory). Takes no lock, allocates nothing; async-signal-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "system/loader.h"

struct glimpse {
    struct loader_place place;
    uintptr_t bias;
    uintptr_t headers; /* where its program headers are; 0: not where they are expected */
    unsigned header_count;
    uintptr_t symbols, strings; /* 0: it has none, or has gone */
    uint32_t symbol_count;
    char name[256]; /* as ld.so knows it, cut; "" for the executable */
};

/* Looks at the object that holds `address`, which may be stale. False: there is none (any more). */
bool glimpse_take(struct glimpse *glimpse, const void *address);

/* The name of the exported function that holds `address`, cut, and in *offset how far into it. False: none is near, or the
 * object has gone. */
bool glimpse_function_at(const struct glimpse *glimpse, const void *address, char *name, size_t capacity,
                         size_t *offset);
