#include "inspect/target.h"

#include <string.h>

static struct {
    const struct target_source *source;
    pid_t pid;
} target;

void target_use(const struct target_source *source, pid_t pid) {
    target.source = source;
    target.pid = pid;
}

pid_t target_pid(void) {
    return target.pid;
}

const struct target_source *target_source(void) {
    return target.source;
}

bool target_read(uintptr_t address, void *to, size_t size) {
    return size && address + size > address && target.source->read(address, to, size) == size;
}

/* Never reads beyond the end of a page together with what is before it: the next page may not be there. */
bool target_read_string(uintptr_t address, char *to, size_t capacity) {
    enum { PIECE = 256 };
    size_t length = 0;
    bool is_end = false;
    while (!is_end && capacity && length < capacity - 1) {
        size_t room = capacity - 1 - length;
        size_t size = PIECE - (address + length) % PIECE;
        size = size < room ? size : room;
        if (!target_read(address + length, to + length, size)) {
            break;
        }
        is_end = memchr(to + length, '\0', size) != NULL;
        length += size;
    }
    if (!is_end && capacity) {
        to[length] = '\0';
    }
    return length > 0;
}

size_t target_threads(pid_t *tids, size_t capacity) {
    return target.source->threads(tids, capacity);
}
