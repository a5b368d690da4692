/* Finds CPython's hidden variables by the code of small functions that read them. Both processors are known on both, for the
 * tests. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reference_kind {
    REFERENCE_LOAD,    /* 8 bytes at `address` are loaded */
    REFERENCE_ADDRESS, /* `address` is computed */
};

/* A place in an object's data that its code refers to, relative to the program counter. */
struct reference {
    enum reference_kind kind;
    uintptr_t address;
    bool is_followed;     /* REFERENCE_LOAD: what was loaded is a pointer that the next instruction loads from: */
    int32_t displacement; /* with this displacement */
};

/* Writes the references in `size` bytes of code, which are at `address` in the target, into `found`, in the order of the code.
 * Returns how many, at most `capacity`. x86-64's instructions are not decoded one by one, so there may be false ones. */
size_t machine_code_x86_64(const uint8_t *code, size_t size, uintptr_t address, struct reference *found,
                           size_t capacity);
size_t machine_code_aarch64(const uint8_t *code, size_t size, uintptr_t address, struct reference *found,
                            size_t capacity);

/* Those of the target's processor. */
static inline size_t machine_code_references(const uint8_t *code, size_t size, uintptr_t address,
                                             struct reference *found, size_t capacity) {
#ifdef __aarch64__
    return machine_code_aarch64(code, size, address, found, capacity);
#else
    return machine_code_x86_64(code, size, address, found, capacity);
#endif
}
