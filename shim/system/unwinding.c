#include "system/unwinding.h"

#include <dlfcn.h>
#include <stdint.h>
#include <string.h>
#include <unwind.h>

#include "system/audited_call.h"
#include "system/dlsym_hook.h"
#include "system/elf.h"

/* libgcc_s is looked up by name, so that the shim depends on glibc only. */
static struct {
    __typeof__(_Unwind_Backtrace) *backtrace;
    __typeof__(_Unwind_GetIPInfo) *ip_info;
    __typeof__(_Unwind_GetLanguageSpecificData) *lsda;
    __typeof__(_Unwind_GetRegionStart) *region_start;
} unwinder;

static bool find_unwinder(void) {
    void *handle = dlopen("libgcc_s.so.1", RTLD_NOW);
    if (handle) {
        unwinder.ip_info = (__typeof__(unwinder.ip_info))libc_real_dlsym(handle, "_Unwind_GetIPInfo");
        unwinder.lsda = (__typeof__(unwinder.lsda))libc_real_dlsym(handle, "_Unwind_GetLanguageSpecificData");
        unwinder.region_start = (__typeof__(unwinder.region_start))libc_real_dlsym(handle, "_Unwind_GetRegionStart");
        unwinder.backtrace = (__typeof__(unwinder.backtrace))libc_real_dlsym(handle, "_Unwind_Backtrace");
    }
    return unwinder.ip_info && unwinder.lsda && unwinder.region_start && unwinder.backtrace;
}

/* ---- the language-specific data area of the Itanium C++ ABI, which gcc, clang and rustc write -------------------- */

enum {
    ENCODED_WORD = 0x00,
    ENCODED_ULEB128 = 0x01,
    ENCODED_UDATA2 = 0x02,
    ENCODED_UDATA4 = 0x03,
    ENCODED_UDATA8 = 0x04
};
enum { ENCODED_OMIT = 0xff };

static uint64_t read_uleb128(const uint8_t **at) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = *(*at)++;
        value |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
        shift += 7;
    } while (byte & 0x80);
    return value;
}

/* Returns false for an encoding that no compiler uses in a call-site table. */
static bool read_encoded(const uint8_t **at, uint8_t encoding, uint64_t *value) {
    static const uint8_t sizes[] = {
        [ENCODED_WORD] = sizeof(void *), [ENCODED_UDATA2] = 2, [ENCODED_UDATA4] = 4, [ENCODED_UDATA8] = 8};
    if (encoding == ENCODED_ULEB128) {
        *value = read_uleb128(at);
        return true;
    }
    if (encoding >= sizeof sizes) {
        return false;
    }
    *value = 0;
    memcpy(value, *at, sizes[encoding]); /* little-endian machines only, like the rest */
    *at += sizes[encoding];
    return true;
}

/* Returns true if code runs when a frame is unwound at `offset` from its function's start: a landing pad, or
 * std::terminate if the table has no entry for that place. */
static bool has_code_for(const uint8_t *lsda, uint64_t offset) {
    uint8_t encoding = *lsda++;
    if (encoding != ENCODED_OMIT) {
        return true; /* landing pads with a base of their own: these compilers do not write them */
    }
    encoding = *lsda++;
    if (encoding != ENCODED_OMIT) {
        read_uleb128(&lsda); /* the place of the table of types */
    }
    encoding = *lsda++;
    uint64_t length = read_uleb128(&lsda);
    const uint8_t *end = lsda + length;
    while (lsda < end) {
        uint64_t start;
        uint64_t size;
        uint64_t landing_pad;
        if (!read_encoded(&lsda, encoding, &start) || !read_encoded(&lsda, encoding, &size) ||
            !read_encoded(&lsda, encoding, &landing_pad)) {
            return true;
        }
        read_uleb128(&lsda); /* action: the exceptions; unwinding by force is none, but enters every pad */
        if (offset >= start && offset - start < size) {
            return landing_pad != 0;
        }
    }
    return true;
}

/* ---- the frames -------------------------------------------------------------------------------------------------- */

struct walk {
    bool (*is_inside)(const void *address);
    const void *outside;
    bool meets_code;
};

/* Returns true for an address in libstdc++. Its execute_native_thread_routine holds what was passed to std::thread, and
 * frees it when it is unwound. */
static bool is_cxx_library(const void *address) {
    struct elf_object object;
    const char *soname = elf_find_by_address(address, &object) ? elf_soname(&object) : NULL;
    return soname && strncmp(soname, "libstdc++.so", strlen("libstdc++.so")) == 0;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument) {
    struct walk *walk = argument;
    int is_exact = 0;
    uintptr_t ip = unwinder.ip_info(context, &is_exact) - 1; /* into the call, not after it: it may never return */
    ip += is_exact ? 1 : 0;
    if (!is_exact && audited_call_is((const void *)(ip + 1))) {
        walk->meets_code = true; /* what is behind it can't be known */
        return _URC_END_OF_STACK;
    }
    const uint8_t *lsda = (const uint8_t *)unwinder.lsda(context);
    if (!walk->outside && !walk->is_inside((const void *)ip)) {
        walk->outside = (const void *)ip;
    }
    if (lsda && has_code_for(lsda, ip - unwinder.region_start(context)) && !is_cxx_library((const void *)ip)) {
        walk->meets_code = true;
    }
    return _URC_NO_REASON;
}

bool unwind_meets_code(bool (*is_inside)(const void *address), const void **outside) {
    struct walk walk = {.is_inside = is_inside};
    if (!find_unwinder()) {
        return true;
    }
    unwinder.backtrace(visit, &walk);
    *outside = walk.outside;
    return walk.meets_code;
}
