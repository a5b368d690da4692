#include "diagnose/fatal_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "system/aside.h"
#include "system/elf.h"
#include "system/thread.h"

/* STACK_WORDS: how much of the stack the one or two functions of CPython's end take. TEXT_MAX: the longest text has 267
 * characters, that of a call without a thread state in a free-threaded build. */
enum { STACK_WORDS = 32, TEXT_MAX = 400 };

/* Where a text may be: in CPython, or in the module that called Py_FatalError itself. */
struct places {
    struct elf_object objects[2];
    size_t count;
};

/* Returns how many bytes follow the address in a segment of the object's that is not writable; 0: it is in none. */
static size_t constant_bytes(const struct elf_object *object, uintptr_t address) {
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        uintptr_t offset = address - object->bias - segment->p_vaddr;
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && offset < segment->p_memsz) {
            return segment->p_memsz - offset;
        }
    }
    return 0;
}

/* Returns the string at `address` if it can be a message: several words that begin where another string has ended. Else
 * NULL. */
static const char *message_at(const struct places *places, uintptr_t address) {
    size_t room = 0; /* with the byte before the text */
    for (size_t i = 0; i < places->count && !room; i++) {
        room = constant_bytes(&places->objects[i], address - 1);
    }
    const char *text = (const char *)address;
    if (room < 2 || text[-1]) {
        return NULL;
    }
    size_t length = 0;
    for (; text[length]; length++) {
        if (length == TEXT_MAX || length + 2 == room || text[length] < ' ' || text[length] > '~') {
            return NULL;
        }
    }
    static const char heading[] = "Fatal Python error";
    return length >= 8 && strchr(text, ' ') && strncmp(text, heading, sizeof heading - 1) != 0 ? text : NULL;
}

/* Searches what the functions of CPython's end have saved on the stack, and the registers that a function must
 * preserve: from 3.10 on, fatal_error still needs the text. Our own frames on the host's stack end at `frame`, and by now have
 * those registers. Words that earlier calls have left are found, too. */
static const char *find_on_stack(const struct places *places, const void *frame) {
    uintptr_t above[STACK_WORDS];
    size_t count = thread_read_memory(frame, above, sizeof above) ? STACK_WORDS : 0;
    const char *found = NULL;
    for (size_t i = 0; i < count && !found; i++) {
        found = message_at(places, above[i]);
    }
    const uintptr_t *at = aside_host_stack();
    for (; at && (const void *)at < frame && !found; at++) {
        found = message_at(places, *at);
    }
    return found;
}

#if defined(__x86_64__)
/* Returns what an instruction loads into %rdi or %rsi: lea text(%rip),%rdi, or, in programs that are not
 * position-independent, mov $text,%edi. Returns 0 if it is no such instruction. */
static uintptr_t loaded_by(const uint8_t *code, uintptr_t at, const uint8_t *end) {
    int32_t number;
    if (end - code >= 7 && code[0] == 0x48 && code[1] == 0x8d && (code[2] == 0x3d || code[2] == 0x35)) {
        memcpy(&number, code + 3, sizeof number);
        return at + 7 + (uintptr_t)(intptr_t)number;
    }
    if (end - code >= 5 && (code[0] == 0xbf || code[0] == 0xbe)) {
        memcpy(&number, code + 1, sizeof number);
        return (uintptr_t)(uint32_t)number;
    }
    return 0;
}
#endif

/* Before 3.10 the text is not needed any more once it is written. It was loaded before the call of Py_FatalError or
 * _Py_FatalErrorFunc. */
static const char *find_at_call(const struct places *places, const void *returns_to) {
    const char *text = NULL;
#if defined(__x86_64__)
    enum { CALL = 5, BEFORE = 26 };
    uint8_t code[BEFORE];
    uintptr_t start = (uintptr_t)returns_to - sizeof code;
    size_t size = thread_read_memory((const void *)start, code, sizeof code) ? sizeof code - CALL : 0;
    for (size_t i = size; i-- > 0 && !text;) { /* the last such instruction before the call */
        uintptr_t loaded = loaded_by(code + i, start + i, code + size);
        text = loaded ? message_at(places, loaded) : NULL;
    }
#else
    (void)places;
    (void)returns_to;
#endif
    return text;
}

static void add_place(struct places *places, const void *address) {
    places->count += elf_find_by_address(address, &places->objects[places->count]);
}

void fatal_text_add(struct text *text, void *const *frames, size_t count, const void *culprit, const void *frame) {
    struct places places = {.count = 0};
    add_place(&places, (const void *)real.Py_IsInitialized);
    if (culprit) {
        add_place(&places, (const char *)culprit - 1);
    }
    int major, minor;
    bool is_kept = interp_version(&major, &minor) && (major > 3 || (major == 3 && minor >= 10));
    const char *found = is_kept ? find_on_stack(&places, frame) : NULL;
    for (size_t i = 0; i < count && !found; i++) {
        found = find_at_call(&places, frames[i]);
        if (frames[i] == culprit) {
            break;
        }
    }
    found = found || is_kept ? found : find_on_stack(&places, frame);
    for (const char *at = found; at && *at; at++) {
        if (at[0] == '%' && at[1] == 'p') {
            text_add(text, "...");
            at++;
        } else {
            char letter[] = {*at, '\0'};
            text_add(text, letter);
        }
    }
}
