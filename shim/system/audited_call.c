#include "system/audited_call.h"

#include <link.h>

#include "system/cfi.h"
#include "system/loader.h"
#include "system/thread.h"

#if defined(__aarch64__)
bool audited_call_is(const void *back) {
    enum { BLR_X16 = 0xd63f0200 }; /* compilers leave x16 to linkers: only ld.so's assembler calls by it */
    uint32_t call;
    struct loader_place place;
    const char *before = (const char *)back - sizeof call;
    return back && (uintptr_t)back % sizeof call == 0 && loader_locate(before, &place) &&
           place.start == (uintptr_t)_r_debug.r_ldbase && thread_read_memory(before, &call, sizeof call) &&
           call == BLR_X16;
}
#else
bool audited_call_is(const void *back) {
    (void)back;
    return false;
}
#endif

size_t audited_call_from(uintptr_t frame, void **frames, size_t capacity) {
    struct {
        uintptr_t frame, back;
    } record;
    size_t count = 0;
    while (count < capacity && frame && frame % sizeof frame == 0 &&
           thread_read_memory((const void *)frame, &record, sizeof record) && record.back) {
        frames[count++] = (void *)cfi_return_address(record.back);
        if (record.frame <= frame) {
            break; /* the first frame of the thread, or no record at all */
        }
        frame = record.frame;
    }
    return count;
}
