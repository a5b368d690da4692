#include "states/blocks.h"

#include <stddef.h>

#include "cpython/counter.h"

static struct block *at(const struct list *blocks, uint32_t index) {
    return (struct block *)blocks->items + index;
}

static void remove_at(struct list *blocks, uint32_t index) {
    list_remove(blocks, sizeof(struct block), index);
}

struct block *blocks_top(const struct list *blocks) {
    return blocks->count ? at(blocks, blocks->count - 1) : NULL;
}

struct block *blocks_push(struct list *blocks, enum block_kind kind, PyThreadState *state) {
    struct block *block = list_push(blocks, sizeof *block);
    if (block) {
        block->kind = kind;
        block->state = state;
        block->counter = COUNTER_UNKNOWN;
    }
    return block;
}

void blocks_remove(struct list *blocks, const struct block *block) {
    if (block) {
        remove_at(blocks, (uint32_t)(block - at(blocks, 0)));
    }
}

struct block *blocks_last_of(const struct list *blocks, const PyThreadState *state) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        if (at(blocks, i)->state == state) {
            return at(blocks, i);
        }
    }
    return NULL;
}

struct block *blocks_find(const struct list *blocks, enum block_kind kind, const PyThreadState *state) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        if (at(blocks, i)->kind == kind && at(blocks, i)->state == state) {
            return at(blocks, i);
        }
    }
    return NULL;
}

struct block *blocks_last_detached(const struct list *blocks) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        if (at(blocks, i)->kind == BLOCK_DETACH) {
            return at(blocks, i);
        }
    }
    return NULL;
}

struct block *blocks_last_own_detached(const struct list *blocks) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        if (at(blocks, i)->kind == BLOCK_DETACH && !at(blocks, i)->is_guest) {
            return at(blocks, i);
        }
    }
    return NULL;
}

void blocks_end_counted(struct list *blocks, const PyThreadState *state, int counter) {
    uint32_t first = 0;
    for (; first < blocks->count; first++) {
        const struct block *block = at(blocks, first);
        if (block->kind == BLOCK_ATTACH && block->state == state && block->counter >= counter) {
            break;
        }
    }
    for (uint32_t i = blocks->count; counter != COUNTER_UNKNOWN && i-- > first;) {
        const struct block *block = at(blocks, i);
        if (block->state == state && (block->kind == BLOCK_ATTACH || block->kind == BLOCK_DETACH)) {
            remove_at(blocks, i);
        }
    }
}

bool blocks_are_plain(const struct list *blocks, const PyThreadState *state) {
    for (uint32_t i = 0; i < blocks->count; i++) {
        const struct block *block = at(blocks, i);
        if (block->state != state || block->is_foreign || block->kind == BLOCK_OVER || block->kind == BLOCK_SWAP) {
            return false;
        }
    }
    return true;
}

bool blocks_have_over(const struct list *blocks) {
    for (uint32_t i = 0; i < blocks->count; i++) {
        if (at(blocks, i)->kind == BLOCK_OVER) {
            return true;
        }
    }
    return false;
}

void blocks_forget(struct list *blocks, const PyThreadState *state) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        struct block *block = at(blocks, i);
        if (block->state == state) {
            remove_at(blocks, i);
        } else if (block->beneath == state) {
            block->is_beneath_lost = true;
        }
    }
}

void blocks_lose(struct list *blocks, const PyThreadState *state) {
    for (uint32_t i = blocks->count; i-- > 0;) {
        struct block *block = at(blocks, i);
        if (block->state == state && block->kind == BLOCK_DETACH) {
            remove_at(blocks, i);
        } else if (block->beneath == state) {
            block->is_beneath_lost = true;
        }
    }
}
