#include "system/cfi_entry.h"

#include <string.h>

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

uint64_t cfi_take_bytes(struct cfi_cursor *from, size_t count) {
    uint64_t value = 0;
    if ((size_t)(from->end - from->at) < count) {
        from->at = from->end;
        return 0;
    }
    memcpy(&value, from->at, count); /* little-endian machines only, like the rest */
    from->at += count;
    return value;
}

uint64_t cfi_take_uleb(struct cfi_cursor *from) {
    uint64_t value = 0;
    for (unsigned shift = 0; from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        if (!(byte & 0x80)) {
            break;
        }
    }
    return value;
}

int64_t cfi_take_sleb(struct cfi_cursor *from) {
    uint64_t value = 0;
    for (unsigned shift = 0; from->at < from->end;) {
        uint8_t byte = *from->at++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
        if (!(byte & 0x80)) {
            value |= (byte & 0x40) && shift < 64 ? ~(uint64_t)0 << shift : 0;
            break;
        }
    }
    return (int64_t)value;
}

/* DW_EH_PE_*: the low four bits give the format, the next three give what the value is relative to. */
static bool take_encoded(struct cfi_cursor *from, uint8_t encoding, uintptr_t data_base, uintptr_t *value) {
    uintptr_t place = (uintptr_t)from->at;
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c: *value = cfi_take_bytes(from, 8); break;
    case 0x01: *value = cfi_take_uleb(from); break;
    case 0x02: *value = cfi_take_bytes(from, 2); break;
    case 0x03: *value = cfi_take_bytes(from, 4); break;
    case 0x09: *value = (uintptr_t)cfi_take_sleb(from); break;
    case 0x0a: *value = (uintptr_t)(intptr_t)(int16_t)cfi_take_bytes(from, 2); break;
    case 0x0b: *value = (uintptr_t)(intptr_t)(int32_t)cfi_take_bytes(from, 4); break;
    default: return false;
    }
    switch (encoding & 0x70) {
    case 0x00: return true;
    case 0x10: *value += place; return true;
    case 0x30: *value += data_base; return true;
    default: return false;
    }
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

/* Where an object's bytes are read, which may be damaged: nothing is read beyond its segments. */
struct source {
    const struct elf_object *object;
    uintptr_t distance; /* elf_mirror_distance */
};

static size_t readable(const struct source *source, const uint8_t *at) {
    return elf_readable_from(source->object, (uintptr_t)at - source->distance);
}

static size_t rest_of(const struct cfi_cursor *from) {
    return (size_t)(from->end - from->at);
}

static bool open_record(const struct source *source, const uint8_t *at, struct cfi_cursor *record) {
    record->at = at;
    record->end = at + readable(source, at);
    uint64_t length = cfi_take_bytes(record, 4);
    if (length == 0xffffffff) {
        length = cfi_take_bytes(record, 8);
    }
    bool is_inside = length != 0 && length <= rest_of(record);
    record->end = is_inside ? record->at + length : record->at;
    return is_inside;
}

/* Takes a length and that many bytes. */
static bool take_part(struct cfi_cursor *from, struct cfi_cursor *part) {
    uint64_t length = cfi_take_uleb(from);
    if (length > rest_of(from)) {
        return false;
    }
    part->at = from->at;
    part->end = from->at += length;
    return true;
}

static bool read_common(const struct source *source, const uint8_t *at, struct cfi_entry *entry,
                        uint8_t *pointer_encoding, bool *has_data) {
    struct cfi_cursor record;
    if (!open_record(source, at, &record) || cfi_take_bytes(&record, 4) != 0) {
        return false;
    }
    uint64_t version = cfi_take_bytes(&record, 1);
    const char *augmentation = (const char *)record.at;
    const uint8_t *end = memchr(record.at, '\0', rest_of(&record));
    if (!end) {
        return false;
    }
    record.at = end + 1;
    if ((version != 1 && version != 3) || strcmp(augmentation, "eh") == 0) {
        return false;
    }
    entry->code_unit = cfi_take_uleb(&record);
    entry->data_unit = cfi_take_sleb(&record);
    entry->return_register = version == 1 ? cfi_take_bytes(&record, 1) : cfi_take_uleb(&record);
    *pointer_encoding = 0;
    *has_data = augmentation[0] == 'z';
    if (*has_data) {
        struct cfi_cursor data;
        if (!take_part(&record, &data)) {
            return false;
        }
        for (const char *letter = augmentation + 1; *letter; letter++) {
            uintptr_t unused;
            if (*letter == 'R') {
                *pointer_encoding = (uint8_t)cfi_take_bytes(&data, 1);
            } else if (*letter == 'L') {
                cfi_take_bytes(&data, 1);
            } else if (*letter == 'P') {
                uint8_t encoding = (uint8_t)cfi_take_bytes(&data, 1);
                take_encoded(&data, encoding & 0x7f, 0, &unused);
            } else if (*letter == 'S') {
                entry->is_signal_frame = true;
            }
        }
    }
    entry->common_code = record;
    return true;
}

static bool read_entry(const struct source *source, const uint8_t *at, struct cfi_entry *entry) {
    struct cfi_cursor record;
    uint8_t encoding;
    bool has_data;
    memset(entry, 0, sizeof *entry);
    if (!open_record(source, at, &record)) {
        return false;
    }
    const uint8_t *place = record.at;
    uint64_t distance = cfi_take_bytes(&record, 4);
    if (!distance || !read_common(source, place - distance, entry, &encoding, &has_data) ||
        !take_encoded(&record, encoding, 0, &entry->function) ||
        !take_encoded(&record, encoding & 0x0f, 0, &entry->size)) {
        return false;
    }
    struct cfi_cursor unused;
    if (has_data && !take_part(&record, &unused)) {
        return false;
    }
    entry->code = record;
    return true;
}

/* .eh_frame_hdr has a sorted table of all functions. */
bool cfi_find_entry(const struct elf_object *object, const uint8_t *header, uintptr_t address,
                    struct cfi_entry *entry) {
    enum { TABLE_ENCODING = 0x3b /* data-relative, four bytes: the only one that linkers write */ };
    const struct source source = {object, elf_mirror_distance(object)};
    size_t size = readable(&source, header);
    struct cfi_cursor from = {header + 4, header + size};
    uintptr_t unused, count;
    if (size < 4 || header[0] != 1 || header[3] != TABLE_ENCODING ||
        !take_encoded(&from, header[1], (uintptr_t)header, &unused) ||
        !take_encoded(&from, header[2], (uintptr_t)header, &count) || !count) {
        return false;
    }
    const uint8_t *table = from.at;
    intptr_t sought = (intptr_t)(address - (uintptr_t)header);
    size_t first = 0, behind = count;
    int32_t pair[2];
    if (count > rest_of(&from) / sizeof pair) {
        return false;
    }
    while (behind - first > 1) {
        size_t middle = first + (behind - first) / 2;
        memcpy(pair, table + middle * sizeof pair, sizeof pair);
        if (pair[0] <= sought) {
            first = middle;
        } else {
            behind = middle;
        }
    }
    memcpy(pair, table + first * sizeof pair, sizeof pair);
    return pair[0] <= sought && read_entry(&source, header + pair[1], entry) && address - entry->function < entry->size;
}
