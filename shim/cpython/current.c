#include "cpython/current.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "cpython/interp.h"
#include "cpython/real.h"
#include "cpython/slot.h"
#include "system/elf.h"
#include "system/thread.h"
#include "system/tls.h"

/* Up to 3.11 the attached state is in a global: exported in 2.7 and 3.6, somewhere in _PyRuntime from 3.7 on. From 3.12
 * on it is in a thread-local of libpython's or the executable's, and each thread asks for its own. */
static current_place *global_place;
static size_t module; /* the module whose thread-locals it is among; 0: not known */
static size_t offset; /* its offset in that module's block */

/* The distance of the place from the thread pointer, on every thread; 0: not known, or there is no such distance. */
static ptrdiff_t distance;
static bool was_sought;

/* Module and offset, to be looked up in each thread's vector of blocks if there is no such distance: libpython was
 * opened late, or an auditor is there. They are only for looks from outside, because a late libpython may be closed
 * again. */
static size_t outside_module, outside_offset;

static bool is_fixed(void) {
    return real_status.binding == REAL_SHARED || real_status.binding == REAL_STATIC;
}

static void note_distance(const uintptr_t *word, bool has_own_stack) {
    if (tls_is_static(word, has_own_stack)) {
        __atomic_store_n(&distance, (const char *)word - (const char *)tls_thread_pointer(), __ATOMIC_RELAXED);
    }
}

static void found_in_tls(const struct tls_block *block, const uintptr_t *word, bool has_own_stack) {
    offset = (size_t)((const char *)word - (const char *)block->start);
    __atomic_store_n(&module, block->module, __ATOMIC_RELEASE);
    note_distance(word, has_own_stack);
}

static void learn_from_runtime(PyThreadState *attached) {
    struct elf_object object;
    if (!real._PyRuntime || !elf_find_by_address(real._PyRuntime, &object)) {
        return;
    }
    const ElfW(Sym) *symbol = elf_find_export(&object, "_PyRuntime");
    size_t words = symbol ? symbol->st_size / sizeof(void *) : 0;
    current_place *runtime = (current_place *)real._PyRuntime;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < words && !global_place; i++) {
        if (runtime[i] != attached) {
            continue;
        }
        /* Other words hold the same pointer (gil.last_holder). The right one changes with Swap. */
        real.PyThreadState_Swap(NULL);
        bool is_it = runtime[i] == NULL;
        real.PyThreadState_Swap(attached);
        if (is_it) {
            global_place = &runtime[i];
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* From 3.15 on, the gilstate slot is in the same block and holds the same pointer. */
static void learn_from_tls(const PyThreadState *attached) {
    struct tls_block block = tls_block_of((const void *)real.Py_IsInitialized);
    const void *slot = slot_in_tls();
    uintptr_t *found = NULL;
    for (size_t i = 0; i < block.words; i++) {
        if (block.start[i] == (uintptr_t)attached && &block.start[i] != slot) {
            if (found) {
                return;
            }
            found = &block.start[i];
        }
    }
    if (found) {
        found_in_tls(&block, found, false);
    }
}

void current_learn(PyThreadState *attached) {
    if (was_sought) {
        return;
    }
    was_sought = true;
    if (real._PyThreadState_Current) {
        global_place = real._PyThreadState_Current;
    } else if (!interp_slot_follows) {
        learn_from_runtime(attached);
    } else if (is_fixed()) {
        learn_from_tls(attached);
    }
}

/* The word is the one whose change shows in what CPython's getter returns. Nobody else reads these words on this
 * thread. If they are not in the static block, the first call of the getter makes this thread's copy of them. */
void current_learn_aside(void) {
    if (!interp_slot_follows || distance || outside_module) {
        return;
    }
    interp_current(); /* if the block is made at first use, this makes it */
    struct tls_block block = tls_block_of((const void *)real.Py_IsInitialized);
    size_t known = __atomic_load_n(&module, __ATOMIC_ACQUIRE) == block.module ? offset / sizeof(uintptr_t) : SIZE_MAX;
    for (size_t i = 0; i < block.words && known == SIZE_MAX; i++) {
        volatile uintptr_t *word = &block.start[i];
        uintptr_t before = *word;
        *word = (uintptr_t)word;
        known = interp_current() == (PyThreadState *)(void *)&block.start[i] ? i : SIZE_MAX;
        *word = before;
    }
    if (known >= block.words) {
        return;
    }
    if (is_fixed()) {
        found_in_tls(&block, &block.start[known], true);
    } else {
        /* The models initial-exec and TLSDESC put a late libpython's thread-locals into what is left of the static
         * block. On threads that are older than it, ld.so's vector has no entry for them. */
        note_distance(&block.start[known], true);
    }
    outside_module = block.module;
    outside_offset = known * sizeof(uintptr_t);
}

current_place *current_find(void) {
    size_t known = __atomic_load_n(&module, __ATOMIC_ACQUIRE);
    if (global_place || !known) {
        return global_place;
    }
    const PyThreadState *attached = interp_current(); /* makes the thread's copy if there is none yet */
    current_place *place = tls_address(known, offset);
    return *place == attached ? place : NULL;
}

/* Returns the address of offset `place` in a thread's block for the module `number`, or NULL if that thread has no such
 * block. Reads glibc's vector of blocks (dtv_t, sysdeps/generic/dl-dtv.h): two words for each module, and in front of
 * them the number of modules. A block that the thread has not touched is -1. */
static const void *place_in_block(uintptr_t thread_pointer, size_t number, size_t place) {
#if defined(__x86_64__)
    const uintptr_t *vector_place = (const uintptr_t *)thread_pointer + 1;
#else
    const uintptr_t *vector_place = (const uintptr_t *)thread_pointer;
#endif
    uintptr_t vector, count, block;
    if (!thread_read_memory(vector_place, &vector, sizeof vector) ||
        !thread_read_memory((const uintptr_t *)vector - 2, &count, sizeof count) || number > count ||
        !thread_read_memory((const uintptr_t *)vector + 2 * number, &block, sizeof block)) {
        return NULL;
    }
    return block + 1 > 1 ? (const void *)(block + place) : NULL;
}

/* pthread_self() and the thread pointer are the same on x86-64, and differ by a constant elsewhere. */
const void *current_place_of(uintptr_t pthread) {
    uintptr_t apart = (uintptr_t)tls_thread_pointer() - (uintptr_t)pthread_self();
    if (global_place || (!distance && !outside_module)) {
        return (const void *)global_place;
    }
    return distance ? (const void *)(pthread + apart + (uintptr_t)distance)
                    : place_in_block(pthread + apart, outside_module, outside_offset);
}

void current_forget(void) {
    global_place = NULL;
    __atomic_store_n(&module, 0, __ATOMIC_RELEASE);
    distance = 0;
    outside_module = 0;
    was_sought = false;
}
