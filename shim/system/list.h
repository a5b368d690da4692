/* Growing arrays in pages of their own: malloc may be what the caller is inside of. They never shrink; a record that is
 * used again keeps its pages. No locks: a list belongs to one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
    void *items;
    uint32_t count;
    uint32_t capacity;
};

/* Fresh zeroed pages, or NULL. Async-signal-safe. */
void *list_map_pages(size_t size);

/* Makes room for one more item at least; false without memory. Pointers to items may become stale. */
bool list_reserve(struct list *list, size_t item_size);

/* Adds a zeroed item at the end and returns it; NULL without memory. Pointers to other items may become stale. */
void *list_push(struct list *list, size_t item_size);

/* Takes the item at `index` out; the later ones move up. */
void list_remove(struct list *list, size_t item_size, uint32_t index);
