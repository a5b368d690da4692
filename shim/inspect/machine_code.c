#include "inspect/machine_code.h"

#include <string.h>

/* ---- x86-64 ----------------------------------------------------------------------------------------------------- */

enum { OP_MOV = 0x8b, OP_LEA = 0x8d };

/* Returns true if the code begins with `mov disp(%reg), ...`, %reg being the register that was loaded before. */
static bool follows_x86_64(const uint8_t *code, size_t size, unsigned reg, int32_t *displacement) {
    if (size < 4 || (code[0] & 0xf8) != 0x48 || code[1] != OP_MOV || (code[2] & 7) != (reg & 7) || (reg & 7) == 4 ||
        (code[0] & 1) != reg >> 3) {
        return false;
    }
    switch (code[2] >> 6) {
    case 0: *displacement = 0; return (reg & 7) != 5;
    case 1: *displacement = code[3] < 128 ? code[3] : code[3] - 256; return true;
    case 2:
        if (size < 7) {
            return false;
        }
        memcpy(displacement, code + 3, sizeof *displacement);
        return true;
    default: return false;
    }
}

size_t machine_code_x86_64(const uint8_t *code, size_t size, uintptr_t address, struct reference *found,
                           size_t capacity) {
    enum { LENGTH = 7 }; /* REX.W, opcode, ModRM with rip and a displacement of 32 bits */
    size_t count = 0;
    for (size_t i = 0; i + LENGTH <= size && count < capacity; i++) {
        const uint8_t *at = code + i;
        if ((at[0] & 0xfb) != 0x48 || (at[1] != OP_MOV && at[1] != OP_LEA) || (at[2] & 0xc7) != 0x05) {
            continue;
        }
        int32_t displacement;
        memcpy(&displacement, at + 3, sizeof displacement);
        struct reference *reference = &found[count++];
        memset(reference, 0, sizeof *reference);
        reference->kind = at[1] == OP_MOV ? REFERENCE_LOAD : REFERENCE_ADDRESS;
        reference->address = address + i + LENGTH + (uintptr_t)(intptr_t)displacement;
        unsigned reg = (at[2] >> 3 & 7) | (at[0] & 4) << 1;
        reference->is_followed = reference->kind == REFERENCE_LOAD &&
                                 follows_x86_64(at + LENGTH, size - i - LENGTH, reg, &reference->displacement);
        i += LENGTH - 1;
    }
    return count;
}

/* ---- AArch64 ---------------------------------------------------------------------------------------------------- */

enum { REGISTERS = 32 };

static size_t add(struct reference *found, size_t count, enum reference_kind kind, uintptr_t address) {
    memset(&found[count], 0, sizeof found[count]);
    found[count].kind = kind;
    found[count].address = address;
    return count + 1;
}

size_t machine_code_aarch64(const uint8_t *code, size_t size, uintptr_t address, struct reference *found,
                            size_t capacity) {
    uintptr_t values[REGISTERS] = {0}; /* of the registers that have an address of the program's; 0: none */
    size_t loaded_by[REGISTERS] = {0}; /* 1 + the reference whose value the register has; 0: none */
    size_t count = 0;
    for (size_t i = 0; i + 4 <= size && count < capacity; i += 4) {
        uint32_t word;
        memcpy(&word, code + i, sizeof word);
        unsigned to = word & 31, from = word >> 5 & 31;
        if ((word & 0x9f000000) == 0x90000000) { /* adrp */
            int64_t pages = (int64_t)((uint64_t)((word >> 3 & 0x1ffffc) | (word >> 29 & 3)) << 43) >> 43;
            values[to] = ((address + i) & ~(uintptr_t)0xfff) + ((uintptr_t)pages << 12);
            loaded_by[to] = 0;
        } else if ((word & 0xff800000) == 0x91000000) { /* add, immediate */
            uintptr_t value = (uintptr_t)(word >> 10 & 0xfff) << (word >> 22 & 1 ? 12 : 0);
            values[to] = values[from] ? values[from] + value : 0;
            loaded_by[to] = 0;
            if (values[to]) {
                count = add(found, count, REFERENCE_ADDRESS, values[to]);
            }
        } else if ((word & 0xffc00000) == 0xf9400000) { /* ldr, 64 bits, unsigned offset */
            uintptr_t offset = (uintptr_t)(word >> 10 & 0xfff) * 8;
            if (values[from]) {
                count = add(found, count, REFERENCE_LOAD, values[from] + offset);
                loaded_by[to] = count;
            } else {
                if (loaded_by[from]) {
                    found[loaded_by[from] - 1].is_followed = true;
                    found[loaded_by[from] - 1].displacement = (int32_t)offset;
                }
                loaded_by[to] = 0;
            }
            values[to] = 0;
        } else if ((word & 0xfffffc1f) == 0xd65f0000) { /* ret */
            break;
        }
    }
    return count;
}
