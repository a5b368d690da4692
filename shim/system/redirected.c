#include "system/redirected.h"

#include <stdbool.h>
#include <stddef.h>

#include "system/thunks.h"

/* Those of api.def and locks.def, in several objects. Thunks are not in the list: they know their targets. */
enum { CAPACITY = 1024 };
static struct {
    const ElfW(Sym) *symbol; /* NULL: not filled in yet */
    uintptr_t original;
} entries[CAPACITY];
static unsigned count;

/* Both by the linker: the library that this file is linked into. */
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

static bool is_ours(uintptr_t address) {
    return address - (uintptr_t)__ehdr_start < (uintptr_t)_end - (uintptr_t)__ehdr_start;
}

static unsigned count_now(void) {
    unsigned now = __atomic_load_n(&count, __ATOMIC_ACQUIRE);
    return now < CAPACITY ? now : CAPACITY;
}

void redirected_note(const ElfW(Sym) *symbol, uintptr_t original) {
    if (is_ours(original)) {
        return;
    }
    /* An object that is opened again may be where it was. */
    for (unsigned i = 0; i < count_now(); i++) {
        if (__atomic_load_n(&entries[i].symbol, __ATOMIC_ACQUIRE) == symbol) {
            __atomic_store_n(&entries[i].original, original, __ATOMIC_RELAXED);
            return;
        }
    }
    unsigned index = count_now() < CAPACITY ? __atomic_fetch_add(&count, 1, __ATOMIC_ACQ_REL) : CAPACITY;
    if (index < CAPACITY) {
        entries[index].original = original;
        __atomic_store_n(&entries[index].symbol, symbol, __ATOMIC_RELEASE);
    }
}

uintptr_t redirected_behind(const ElfW(Sym) *symbol, uintptr_t address) {
    if (!is_ours(address)) {
        return address;
    }
    uintptr_t behind = thunk_behind(address);
    for (unsigned i = 0; behind == address && i < count_now(); i++) {
        if (__atomic_load_n(&entries[i].symbol, __ATOMIC_ACQUIRE) == symbol) {
            return __atomic_load_n(&entries[i].original, __ATOMIC_RELAXED);
        }
    }
    return behind;
}

static struct {
    const void *const *wrappers, *const *originals;
    size_t length;
} wrapped;

void redirected_set_wrappers(const void *const *wrappers, const void *const *originals, size_t length) {
    wrapped.wrappers = wrappers;
    wrapped.originals = originals;
    __atomic_store_n(&wrapped.length, length, __ATOMIC_RELEASE);
}

uintptr_t redirected_original(uintptr_t address) {
    size_t length = __atomic_load_n(&wrapped.length, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < length; i++) {
        const void *original = __atomic_load_n(&wrapped.originals[i], __ATOMIC_ACQUIRE);
        if (original && (uintptr_t)wrapped.wrappers[i] == address) {
            return (uintptr_t)original;
        }
    }
    return address;
}
