/* Growing arrays in pages of their own, because the caller may be inside malloc. They never shrink: a record that is
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

/* Returns fresh zeroed pages, or NULL. Async-signal-safe. */
void *list_map_pages(size_t size);

/* Makes room for at least one more item. Returns false if there is no memory. Pointers to items may become stale. */
bool list_reserve(struct list *list, size_t item_size);

/* Adds a zeroed item at the end. Returns it, or NULL if there is no memory. Pointers to other items may become
 * stale. */
void *list_push(struct list *list, size_t item_size);

/* Removes the item at `index`. The later items move down by one index. */
void list_remove(struct list *list, size_t item_size, uint32_t index);
