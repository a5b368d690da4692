#include "cpython/layout.h"

#include <string.h>

#include "system/thread.h"

enum {
    OFFSET_MAX = 1 << 12,       /* in an object, a state or a frame */
    LARGE_OFFSET_MAX = 1 << 20, /* in the runtime or an interpreter, which have tables in them */
};

struct row {
    int major, minor;
    bool is_debug, is_free_threaded;
    struct layout fields;
};

/* The rows of this processor. */
#ifdef __aarch64__
#define ROW_x86_64(...)
#define ROW_aarch64(major, minor, debug, free_threaded, ...) {major, minor, debug, free_threaded, {__VA_ARGS__}},
#else
#define ROW_x86_64(major, minor, debug, free_threaded, ...) {major, minor, debug, free_threaded, {__VA_ARGS__}},
#define ROW_aarch64(...)
#endif

static const struct row layouts[] = {
#define LAYOUT(machine, ...) ROW_##machine(__VA_ARGS__)
#define DEBUG_OFFSETS(...)
#include "cpython/layouts.def"
#undef LAYOUT
#undef DEBUG_OFFSETS
};

static const struct row places[] = {
#define LAYOUT(...)
#define DEBUG_OFFSETS(machine, ...) ROW_##machine(__VA_ARGS__)
#include "cpython/layouts.def"
#undef LAYOUT
#undef DEBUG_OFFSETS
};

/* No pointers, which would have to be relocated at the start of every program. */
static const char names[][20] = {
#define X(name) #name,
    LAYOUT_FIELDS(X)
#undef X
};
_Static_assert(sizeof(struct layout) == sizeof names / sizeof names[0] * sizeof(int32_t), "one offset for each name");

static const struct row *find(const struct row *rows, size_t count, int major, int minor, bool is_debug,
                              bool is_free_threaded) {
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (row->major == major && row->minor == minor && row->is_debug == is_debug &&
            row->is_free_threaded == is_free_threaded) {
            return row;
        }
    }
    return NULL;
}

bool layout_find(int major, int minor, bool is_debug, bool is_free_threaded, struct layout *layout) {
    const struct row *row = find(layouts, sizeof layouts / sizeof layouts[0], major, minor, is_debug, is_free_threaded);
    if (!row) {
        return false;
    }
    *layout = row->fields;
    return true;
}

bool layout_read_version(uintptr_t runtime, uint64_t *version_hex, bool *is_free_threaded) {
    struct {
        char cookie[8];
        uint64_t version, free_threaded;
    } start;
    if (!thread_read_memory((const void *)runtime, &start, sizeof start) ||
        memcmp(start.cookie, "xdebugpy", sizeof start.cookie) != 0) {
        return false;
    }
    *version_hex = start.version;
    *is_free_threaded = start.free_threaded == 1;
    return start.free_threaded <= 1;
}

/* Reads one field's offset. Returns false if it can't be that of such a field. */
static bool read_offset(uintptr_t runtime, const char *name, int32_t place, int32_t *offset) {
    uint64_t value;
    if (place < 0) {
        return true; /* CPython doesn't say it */
    }
    bool is_large = strncmp(name, "runtime_", 8) == 0 || strncmp(name, "interp_", 7) == 0;
    if (!thread_read_memory((const void *)(runtime + (uintptr_t)place), &value, sizeof value) ||
        value >= (is_large ? LARGE_OFFSET_MAX : OFFSET_MAX)) {
        return false;
    }
    *offset = (int32_t)value;
    return true;
}

bool layout_read_offsets(uintptr_t runtime, int minor, bool is_free_threaded, struct layout *layout) {
    const struct row *row = find(places, sizeof places / sizeof places[0], 3, minor, false, is_free_threaded);
    struct layout said = *layout;
    if (!row) {
        return false;
    }
    const int32_t *from = (const int32_t *)&row->fields;
    int32_t *to = (int32_t *)&said; /* a layout has nothing but offsets */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!read_offset(runtime, names[i], from[i], &to[i])) {
            return false;
        }
    }
    said.text_compact = said.text_ascii + (layout->text_compact - layout->text_ascii);
    *layout = said;
    return true;
}
