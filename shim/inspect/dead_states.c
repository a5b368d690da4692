#include "inspect/dead_states.h"

#include "inspect/target.h"
#include "inspect/thread_descriptor.h"

enum { FRAMES = 8, KEYS = 1024, THREAD_LOCALS = 4096 /* words */, PAGE = 4096 };

struct search {
    const struct interpreter_picture *picture;
    uintptr_t pthread;
    struct dead_state *found;
    size_t count, capacity;
};

static bool has_interpreter(const struct interpreter_picture *picture, uintptr_t address) {
    for (size_t i = 0; i < picture->interpreter_count; i++) {
        if (picture->interpreters[i].address == address) {
            return true;
        }
    }
    return false;
}

/* Freed memory keeps most of its contents for a while: malloc writes only into the first 16 bytes. So what was a state has
 * an interpreter, and the thread that made it. */
static bool is_dead(const struct search *search, uintptr_t address) {
    const struct layout *layout = &search->picture->cpython->layout;
    uintptr_t interpreter, pthread;
    return address >= PAGE && address % sizeof address == 0 &&
           target_read(address + (uintptr_t)layout->state_interp, &interpreter, sizeof interpreter) &&
           has_interpreter(search->picture, interpreter) &&
           target_read(address + (uintptr_t)layout->state_thread, &pthread, sizeof pthread) && pthread &&
           (pthread == search->pthread || interpreter_tid_of(pthread)) &&
           !interpreter_state_at(search->picture, address) && !has_interpreter(search->picture, address);
}

static void look_at(struct search *search, uintptr_t address, enum dead_state_place place, unsigned key) {
    if (!is_dead(search, address)) {
        return;
    }
    for (size_t i = 0; i < search->count && i < search->capacity; i++) {
        if (search->found[i].address == address) {
            return;
        }
    }
    if (search->count < search->capacity) {
        search->found[search->count] = (struct dead_state){address, place, key};
    }
    search->count++;
}

static bool read_word(uintptr_t address, uintptr_t *word) {
    return target_read(address, word, sizeof *word);
}

static void look_at_registers(struct search *search, const struct cfi_frame *registers) {
    struct cfi_frame frame = *registers;
    uintptr_t function;
    for (int depth = 0; depth < FRAMES; depth++) {
        for (unsigned i = 0; i < CFI_REGISTERS; i++) {
            if (frame.known >> i & 1 && i != CFI_STACK) {
                look_at(search, frame.values[i], DEAD_IN_REGISTER, 0);
            }
        }
        if (cfi_step(&frame, read_word, &function) != CFI_STEPPED) {
            return;
        }
    }
}

/* The thread-locals of libraries that were loaded at start are right below the thread pointer on x86-64, and right above it
 * on AArch64. */
static void look_at_thread_locals(struct search *search, uintptr_t pointer) {
    for (uintptr_t i = 1; pointer && pointer % sizeof(uintptr_t) == 0 && i <= THREAD_LOCALS; i++) {
        uintptr_t word;
#if defined(__x86_64__)
        uintptr_t at = pointer - i * sizeof word;
#else
        uintptr_t at = pointer + (i + 1) * sizeof word;
#endif
        if (!target_read(at, &word, sizeof word)) {
            return;
        }
        look_at(search, word, DEAD_IN_THREAD_LOCAL, 0);
    }
}

static uintptr_t find_pthread(const struct interpreter_picture *picture, pid_t tid, uintptr_t pointer) {
    for (size_t i = 0; i < picture->state_count; i++) {
        if (picture->states[i].tid == tid && picture->states[i].pthread) {
            return picture->states[i].pthread;
        }
    }
#if defined(__x86_64__)
    return pointer; /* which is what pthread_self() is */
#else
    (void)pointer;
    return 0;
#endif
}

size_t dead_states_find(const struct interpreter_picture *picture, pid_t tid, const struct cfi_frame *registers,
                        uintptr_t pointer, struct dead_state *found, size_t capacity) {
    struct search search = {picture, find_pthread(picture, tid, pointer), found, 0, capacity};
    for (unsigned key = 0; search.pthread && key < KEYS; key++) {
        uintptr_t value;
        if (!thread_descriptor_specific(search.pthread, key, &value)) {
            break;
        }
        look_at(&search, value, DEAD_IN_KEY, key);
    }
    look_at_thread_locals(&search, pointer);
    look_at_registers(&search, registers);
    return search.count;
}
