#include "system/list.h"

#include <string.h>
#include <sys/mman.h>

void *list_map_pages(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

bool list_reserve(struct list *list, size_t item_size) {
    if (list->count < list->capacity) {
        return true;
    }
    size_t old_size = list->capacity * item_size;
    size_t size = old_size ? old_size * 2 : 4096 / item_size * item_size;
    void *items = list_map_pages(size);
    if (!items) {
        return false;
    }
    if (old_size) {
        memcpy(items, list->items, old_size);
        munmap(list->items, old_size);
    }
    list->items = items;
    list->capacity = (uint32_t)(size / item_size);
    return true;
}

void *list_push(struct list *list, size_t item_size) {
    if (!list_reserve(list, item_size)) {
        return NULL;
    }
    void *item = (char *)list->items + list->count++ * item_size;
    return memset(item, 0, item_size);
}

void list_remove(struct list *list, size_t item_size, uint32_t index) {
    char *item = (char *)list->items + index * item_size;
    memmove(item, item + item_size, (list->count - index - 1) * item_size);
    list->count--;
}
