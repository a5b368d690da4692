#include "inspect/code_lines.h"

#include <stddef.h>

#include "inspect/interpreter.h"
#include "inspect/target.h"

enum { TABLE_MAX = 1 << 20, CHUNK = 512 };

/* Reads a bytes object of the target byte by byte. */
struct bytes {
    uintptr_t next;
    size_t left; /* from `next` on */
    size_t position, count;
    uint8_t chunk[CHUNK];
};

static bool open_bytes(const struct layout *layout, uintptr_t object, struct bytes *bytes) {
    int64_t size;
    *bytes = (struct bytes){.next = object + (uintptr_t)layout->bytes_data};
    if (!object || !target_read(object + (uintptr_t)layout->bytes_size, &size, sizeof size) || size < 0 ||
        size > TABLE_MAX) {
        return false;
    }
    bytes->left = (size_t)size;
    return true;
}

/* Returns -1 at the end. */
static int next_byte(struct bytes *bytes) {
    if (bytes->position == bytes->count) {
        size_t count = bytes->left < CHUNK ? bytes->left : CHUNK;
        if (!count || !target_read(bytes->next, bytes->chunk, count)) {
            bytes->left = 0;
            return -1;
        }
        bytes->next += count;
        bytes->left -= count;
        bytes->position = 0;
        bytes->count = count;
    }
    return bytes->chunk[bytes->position++];
}

/* Lines come from garbage at times: they are added without overflow. */
static int add(int line, int64_t delta) {
    int64_t sum = line + delta;
    return sum > INT32_MAX || sum < INT32_MIN ? -1 : (int)sum;
}

/* Up to 3.9, co_lnotab: pairs of how many bytes of code, then how many lines further. Lines are signed from 3.6 on. */
static int find_in_lnotab(const struct interpreter_cpython *cpython, struct bytes *table, int line, int64_t at) {
    int64_t address = 0;
    for (;;) {
        int length = next_byte(table), lines = next_byte(table);
        if (length < 0 || lines < 0) {
            return line;
        }
        address += length;
        if (address > at) {
            return line;
        }
        line = add(line, cpython->major == 2 ? lines : (int8_t)lines);
    }
}

/* 3.10 (PEP 626): pairs of how many lines further (-128: no line), for how many bytes of code, length first. */
static int find_in_linetable(struct bytes *table, int line, int64_t at) {
    int64_t end = 0;
    for (;;) {
        int length = next_byte(table), byte = next_byte(table);
        if (length < 0 || byte < 0) {
            return -1;
        }
        int8_t lines = (int8_t)byte;
        line = lines == -128 ? line : add(line, lines);
        end += length;
        if (end > at) {
            return lines == -128 ? -1 : line;
        }
    }
}

/* 6 bits a byte, the lowest first; bit 6: another follows. Returns -1 if there is none. */
static int64_t next_varint(struct bytes *table) {
    int64_t value = 0;
    for (int shift = 0; shift < 36; shift += 6) {
        int byte = next_byte(table);
        if (byte < 0) {
            return -1;
        }
        value |= (int64_t)(byte & 63) << shift;
        if (!(byte & 64)) {
            return value;
        }
    }
    return -1;
}

/* The lowest bit is the sign. */
static int64_t to_signed(int64_t varint) {
    return varint & 1 ? -(varint >> 1) : varint >> 1;
}

enum { KIND_ONE_LINE = 10 /* to 12: 0 to 2 lines further */, KIND_NO_COLUMNS = 13, KIND_LONG = 14, KIND_NONE = 15 };

/* 3.11+ (Objects/locations.md). An entry begins with a byte that has bit 7 set, then the kind in 4 bits, and the number of
 * instructions - 1 in 3. */
static int find_in_locations(struct bytes *table, int line, int64_t at) {
    int64_t end = 0;
    int byte = next_byte(table);
    while (byte >= 0) {
        int kind = byte >> 3 & 15;
        end += 2 + 2 * (int64_t)(byte & 7);
        if (kind >= KIND_ONE_LINE && kind < KIND_NO_COLUMNS) {
            line = add(line, kind - KIND_ONE_LINE);
        } else if (kind == KIND_NO_COLUMNS || kind == KIND_LONG) {
            int64_t delta = next_varint(table);
            if (delta < 0) {
                return -1;
            }
            line = add(line, to_signed(delta));
        }
        if (end > at) {
            return kind == KIND_NONE ? -1 : line;
        }
        for (byte = next_byte(table); byte >= 0 && !(byte & 128); byte = next_byte(table)) {
            /* columns */
        }
    }
    return -1;
}

int code_lines_find(const struct interpreter_cpython *cpython, uintptr_t code, int64_t at) {
    const struct layout *layout = &cpython->layout;
    struct bytes table;
    uintptr_t object;
    int line;
    if (!target_read(code + (uintptr_t)layout->code_line, &line, sizeof line)) {
        return -1;
    }
    if (at < 0) {
        return line;
    }
    if (!target_read(code + (uintptr_t)layout->code_lines, &object, sizeof object) ||
        !open_bytes(layout, object, &table)) {
        return -1;
    }
    if (cpython->major == 2 || cpython->minor <= 9) {
        return find_in_lnotab(cpython, &table, line, at);
    }
    return cpython->minor == 10 ? find_in_linetable(&table, line, at) : find_in_locations(&table, line, at);
}
