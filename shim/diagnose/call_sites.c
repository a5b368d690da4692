#include "diagnose/call_sites.h"

#include <stddef.h>

#include "journal/modules.h"

enum { SITE_COUNT = 1024, KIND_COUNT = 64 };

static struct entry {
    uintptr_t key;      /* place << 6 | kind (modules_place), and the highest bit; 0: free */
    const void *caller; /* the address of the place when it was last counted */
    uint32_t count;
    uint32_t verdict; /* of suppressions; 0: not set */
} entries[SITE_COUNT];

static uint32_t totals[KIND_COUNT];

/* The entry that this thread counted last: a repair that is part of every call is at the same site again and again. It
 * is one word, so that a signal handler that counts never sees it half written. */
static __thread struct entry *last_counted __attribute__((tls_model("initial-exec")));

static inline uintptr_t key_of(unsigned kind, const void *caller) {
    return (modules_place(caller) << 6) | (kind & (KIND_COUNT - 1)) | (uintptr_t)1 << 63;
}

/* Returns the entry of the site. If there is none, makes one if `is_new` is given. Returns NULL if there is none or no
 * room. */
static struct entry *entry_of(unsigned kind, const void *caller, bool *is_new) {
    uintptr_t key = key_of(kind, caller);
    unsigned at = (unsigned)((key >> 6) * 31 + kind) % SITE_COUNT;
    for (unsigned i = 0; i < SITE_COUNT; i++, at = (at + 1) % SITE_COUNT) {
        uintptr_t found = __atomic_load_n(&entries[at].key, __ATOMIC_ACQUIRE);
        if (!found && is_new) {
            *is_new =
                __atomic_compare_exchange_n(&entries[at].key, &found, key, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
            found = *is_new ? key : found;
        }
        if (found == key) {
            __atomic_store_n(&entries[at].caller, caller, __ATOMIC_RELAXED);
            return &entries[at];
        }
        if (!found) {
            return NULL;
        }
    }
    return NULL;
}

/* Not an atomic addition: a repair may be part of every call. Two threads that count at the same moment lose a count,
 * but no report. */
static void count(uint32_t *number) {
    __atomic_store_n(number, __atomic_load_n(number, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

static bool count_another(unsigned kind, const void *caller) {
    bool is_new = false;
    struct entry *entry = entry_of(kind, caller, &is_new);
    if (entry) {
        count(&entry->count);
        last_counted = entry;
    }
    return is_new;
}

bool call_sites_count(unsigned kind, const void *caller) {
    struct entry *last = last_counted;
    count(&totals[kind & (KIND_COUNT - 1)]);
    if (last && last->key == key_of(kind, caller)) {
        count(&last->count);
        return false;
    }
    return count_another(kind, caller);
}

static struct entry *known_entry(unsigned kind, const void *caller) {
    struct entry *last = last_counted;
    return last && last->key == key_of(kind, caller) ? last : entry_of(kind, caller, NULL);
}

unsigned call_sites_verdict(unsigned kind, const void *caller) {
    const struct entry *entry = known_entry(kind, caller);
    return entry ? __atomic_load_n(&entry->verdict, __ATOMIC_RELAXED) : 0;
}

void call_sites_judge(unsigned kind, const void *caller, unsigned verdict) {
    struct entry *entry = known_entry(kind, caller);
    if (entry) {
        __atomic_store_n(&entry->verdict, verdict, __ATOMIC_RELAXED);
    }
}

bool call_sites_next(unsigned *index, struct site *site) {
    while (*index < SITE_COUNT) {
        const struct entry *entry = &entries[(*index)++];
        uintptr_t key = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);
        if (key) {
            site->kind = (unsigned)(key & (KIND_COUNT - 1));
            site->caller = __atomic_load_n(&entry->caller, __ATOMIC_RELAXED);
            site->place = (key << 1 >> 1) >> 6;
            site->count = __atomic_load_n(&entry->count, __ATOMIC_RELAXED);
            site->verdict = __atomic_load_n(&entry->verdict, __ATOMIC_RELAXED);
            return true;
        }
    }
    return false;
}

uint32_t call_sites_total(unsigned kind) {
    return __atomic_load_n(&totals[kind & (KIND_COUNT - 1)], __ATOMIC_RELAXED);
}
