#include "system/call_site.h"

#include <stddef.h>
#include <string.h>

#include "system/thread.h"

bool call_site_is_before(uintptr_t address) {
#if defined(__x86_64__)
    unsigned char code[7]; /* the 7 bytes before it */
    if (!thread_read_memory((const void *)(address - sizeof code), code, sizeof code)) {
        return false;
    }
    /* call rel32; call *reg; call *disp8(reg); call *disp32(reg) or *disp32(%rip); with a SIB byte */
    return code[2] == 0xe8 || (code[5] == 0xff && (code[6] & 0xf8) == 0xd0) ||
           (code[4] == 0xff && (code[5] & 0x38) == 0x10) || (code[1] == 0xff && (code[2] & 0x38) == 0x10) ||
           (code[3] == 0xff && (code[4] & 0x3f) == 0x14) || (code[0] == 0xff && (code[1] & 0x3f) == 0x14);
#elif defined(__aarch64__)
    uint32_t code;
    if (!thread_read_memory((const void *)(address - sizeof code), &code, sizeof code)) {
        return false;
    }
    return (code & 0xfc000000u) == 0x94000000u || (code & 0xfffffc1fu) == 0xd63f0000u; /* bl, blr */
#else
    (void)address;
    return false;
#endif
}

#if defined(__aarch64__)
/* Returns where an entry of the procedure linkage table leads, or its own address if it is none: adrp x16, page; ldr x17, [x16,
 * offset]; add; br x17, behind a landing pad where the library has those. */
static uintptr_t follow_stub(uintptr_t stub) {
    uint32_t stub_code[3];
    uintptr_t callee = 0;
    if (!thread_read_memory((const void *)stub, stub_code, sizeof stub_code)) {
        return stub;
    }
    size_t skip = stub_code[0] == 0xd503245fu; /* bti c */
    uint32_t page = stub_code[skip], load = stub_code[skip + 1];
    if ((page & 0x9f00001fu) != 0x90000010u || (load & 0xffc003ffu) != 0xf9400211u) {
        return stub;
    }
    int64_t pages = (int64_t)((uint64_t)(page >> 5 & 0x7ffff) << 45) >> 43 | (page >> 29 & 3);
    uintptr_t slot = ((stub + skip * 4) & ~(uintptr_t)0xfff) + (uintptr_t)(pages * 4096) + (load >> 10 & 0xfff) * 8;
    return thread_read_memory((const void *)slot, &callee, sizeof callee) ? callee : 0;
}
#endif

uintptr_t call_site_callee(uintptr_t address) {
#if defined(__x86_64__)
    unsigned char before[6], stub[12];
    int32_t distance;
    uintptr_t slot, callee = 0;
    if (!thread_read_memory((const void *)(address - sizeof before), before, sizeof before)) {
        return 0;
    }
    memcpy(&distance, before + 2, sizeof distance);
    slot = address + (uintptr_t)(intptr_t)distance;
    if (before[1] == 0xe8) { /* call function */
        callee = slot;
        if (!thread_read_memory((const void *)callee, stub, sizeof stub)) {
            return callee;
        }
        size_t skip = memcmp(stub, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0; /* endbr64 */
        skip += stub[skip] == 0xf2;                                     /* bnd */
        if (stub[skip] != 0xff || stub[skip + 1] != 0x25) {             /* jmp *slot(%rip) */
            return callee;
        }
        memcpy(&distance, stub + skip + 2, sizeof distance);
        slot = callee + skip + 6 + (uintptr_t)(intptr_t)distance;
    } else if (before[0] != 0xff || before[1] != 0x15) { /* call *slot(%rip) */
        return 0;
    }
    return thread_read_memory((const void *)slot, &callee, sizeof callee) ? callee : 0;
#elif defined(__aarch64__)
    uint32_t before;
    if (!thread_read_memory((const void *)(address - sizeof before), &before, sizeof before) ||
        (before & 0xfc000000u) != 0x94000000u) {
        return 0;
    }
    return follow_stub(address - 4 + (uintptr_t)(intptr_t)((int32_t)(before << 6) >> 4)); /* bl */
#else
    (void)address;
    return 0;
#endif
}
