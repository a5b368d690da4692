#include "inspect/thread_descriptor.h"

#include <string.h>

#include "inspect/target.h"

enum {
    SIZE = 2048,       /* of the descriptor's part that is looked at; it has some 2300 bytes */
    BLOCK_KEYS = 32,   /* glibc's PTHREAD_KEY_2NDLEVEL_SIZE */
    BLOCK_COUNT = 32,  /* glibc's PTHREAD_KEY_1STLEVEL_SIZE */
    VOTERS_MAX = 16,   /* threads that are asked */
    TID_MAX = 1 << 22, /* the kernel's PID_MAX_LIMIT */
};

/* glibc's struct pthread_key_data. */
struct key_data {
    uintptr_t sequence; /* odd: in use */
    uintptr_t data;
};

/* Reads as much of the descriptor as is mapped. Returns how many bytes. */
static size_t read_descriptor(uintptr_t pthread, void *to) {
    size_t size = SIZE;
    if (!pthread || pthread % 16) {
        return 0;
    }
    while (size >= 64 && !target_read(pthread, to, size)) {
        size /= 2;
    }
    return size >= 64 ? size : 0;
}

void thread_descriptor_learn(struct thread_descriptor *layout, const uintptr_t *pthreads, size_t count) {
    unsigned votes[SIZE / sizeof(int32_t)] = {0};
    memset(layout, 0, sizeof *layout);
    for (size_t i = 0; i < count && i < VOTERS_MAX; i++) {
        int32_t words[SIZE / sizeof(int32_t)];
        size_t size = read_descriptor(pthreads[i], words);
        for (size_t j = 0; j < size / sizeof words[0]; j++) {
            votes[j] += words[j] > 0 && words[j] < TID_MAX && target_thread_of(words[j]) != 0;
        }
    }
    /* Old versions of glibc have the process id behind the thread id: the first of equals. */
    for (size_t j = 0; j < sizeof votes / sizeof votes[0]; j++) {
        if (votes[j] > layout->votes) {
            layout->votes = votes[j];
            layout->tid = j * sizeof(int32_t);
        }
    }
}

pid_t thread_descriptor_tid(const struct thread_descriptor *layout, uintptr_t pthread) {
    int32_t tid;
    if (!layout->tid || !pthread || pthread % 16 || !target_read(pthread + layout->tid, &tid, sizeof tid) || tid <= 0 ||
        tid >= TID_MAX) {
        return 0;
    }
    return target_thread_of(tid);
}

/* The array of pointers to blocks of keys has a pointer to the first block in front, and that block is in the descriptor, right
 * before the array. */
static uintptr_t find_blocks(uintptr_t pthread) {
    uintptr_t words[SIZE / sizeof(uintptr_t)];
    size_t count = read_descriptor(pthread, words) / sizeof words[0];
    size_t first = BLOCK_KEYS * sizeof(struct key_data) / sizeof words[0];
    for (size_t i = first; i < count; i++) {
        if (words[i] == pthread + (i - first) * sizeof words[0]) {
            return pthread + i * sizeof words[0];
        }
    }
    return 0;
}

bool thread_descriptor_specific(uintptr_t pthread, unsigned key, uintptr_t *value) {
    uintptr_t blocks = find_blocks(pthread), block;
    struct key_data data;
    if (!blocks || key >= BLOCK_KEYS * BLOCK_COUNT ||
        !target_read(blocks + key / BLOCK_KEYS * sizeof block, &block, sizeof block)) {
        return false;
    }
    if (!block) { /* no key of that block was ever set */
        *value = 0;
        return true;
    }
    if (!target_read(block + key % BLOCK_KEYS * sizeof data, &data, sizeof data)) {
        return false;
    }
    *value = data.sequence & 1 ? data.data : 0;
    return true;
}
