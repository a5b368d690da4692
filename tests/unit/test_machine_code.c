/* The references in CPython's getters, as compilers make them: both processors' code on both. */
#include "inspect/machine_code.h"

#include <string.h>

#include "test.h"

enum { AT = 0x401000, MAX = 8 };

static size_t count;
static struct reference found[MAX];

#define X86(...)                                                        \
    do {                                                                \
        static const uint8_t code[] = {__VA_ARGS__};                    \
        count = machine_code_x86_64(code, sizeof code, AT, found, MAX); \
    } while (0)

#define ARM(...)                                                                          \
    do {                                                                                  \
        static const uint32_t code[] = {__VA_ARGS__};                                     \
        count = machine_code_aarch64((const uint8_t *)code, sizeof code, AT, found, MAX); \
    } while (0)

static void finds_those_of_x86_64(void) {
    X86(0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8b, 0x05, 0xc9, 0x08, 0x0e, 0x00, 0xc3); /* endbr64; mov head(%rip),%rax; ret */
    CHECK(count == 1 && found[0].kind == REFERENCE_LOAD && found[0].address == AT + 11 + 0xe08c9 &&
          !found[0].is_followed);                                                      /* a hidden variable */
    X86(0x55, 0x48, 0x89, 0xe5, 0x48, 0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff, 0x5d, 0xc3); /* with a frame; backwards */
    CHECK(count == 1 && found[0].address == AT + 11 - 16);                       /* a debug build's, before the code */
    X86(0x48, 0x8b, 0x3d, 0xb9, 0x7b, 0x10, 0x00, 0xe9, 0xc4, 0xed, 0xf4, 0xff); /* mov lock(%rip),%rdi; jmp */
    CHECK(count == 1 && found[0].address == AT + 7 + 0x107bb9 && !found[0].is_followed); /* an argument */
    X86(0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x8b, 0x80, 0xc8, 0x05, 0, 0,
        0xc3); /* mov got(%rip),%rax; mov 0x5c8(%rax) */
    CHECK(count == 1 && found[0].address == AT + 7 + 0x100 && found[0].is_followed &&
          found[0].displacement == 0x5c8);                           /* a variable behind the global offset table */
    X86(0x48, 0x8b, 0x15, 0, 1, 0, 0, 0x48, 0x8b, 0x42, 0x18, 0xc3); /* through %rdx, near */
    CHECK(count == 1 && found[0].is_followed && found[0].displacement == 0x18); /* by another register */
    X86(0x48, 0x8b, 0x15, 0, 1, 0, 0, 0x48, 0x8b, 0x40, 0x18, 0xc3);
    CHECK(count == 1 && !found[0].is_followed);                      /* a load through another register is none of it */
    X86(0x4c, 0x8d, 0x0d, 0, 1, 0, 0, 0x48, 0x8d, 0x3d, 0, 2, 0, 0); /* lea to %r9, %rdi */
    CHECK(count == 2 && found[0].kind == REFERENCE_ADDRESS && found[1].address == AT + 14 + 0x200); /* addresses */
    X86(0x48, 0x8b, 0x05, 0, 1, 0);
    CHECK(count == 0); /* cut in the instruction */
    X86(0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x48, 0x8b, 0x80, 0xc8);
    CHECK(count == 1 && !found[0].is_followed); /* cut in the next one */
}

static void finds_those_of_aarch64(void) {
    ARM(0xd503245f, 0xb0000100, 0xf9424000, 0xd65f03c0); /* bti c; adrp x0, +0x21000; ldr x0,[x0,#1152]; ret */
    CHECK(count == 1 && found[0].kind == REFERENCE_LOAD && found[0].address == 0x401000 + 0x21000 + 1152 &&
          !found[0].is_followed);                        /* a hidden variable */
    ARM(0xb0000100, 0xf9477800, 0xf942e400, 0xd65f03c0); /* adrp; ldr x0,[x0,#3824]; ldr x0,[x0,#1480]; ret */
    CHECK(count == 1 && found[0].is_followed && found[0].displacement == 1480 &&
          found[0].address == 0x401000 + 0x21000 + 3824); /* a variable behind the global offset table */
    ARM(0x90000001, 0x91010021, 0xf9400420, 0xd65f03c0);  /* adrp x1, 0; add x1,x1,#64; ldr x0,[x1,#8] */
    CHECK(count == 2 && found[0].kind == REFERENCE_ADDRESS && found[0].address == 0x401040 &&
          found[1].kind == REFERENCE_LOAD && found[1].address == 0x401048); /* an address, and a load from it */
    ARM(0xf0ffffe0, 0xf9400000, 0xd65f03c0);                                /* adrp x0, -0x1000 */
    CHECK(count == 1 && found[0].address == 0x400000);                      /* before the code */
    ARM(0xd65f03c0, 0xb0000100, 0xf9424000);
    CHECK(count == 0); /* nothing behind the end of the function */
}

int main(void) {
    RUN(finds_those_of_x86_64);
    RUN(finds_those_of_aarch64);
    return test_end();
}
