#include "current.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "elf.h"
#include "interp.h"
#include "real.h"
#include "slot.h"
#include "tls.h"

/* Up to 3.11 it is a global: exported in 2.7 and 3.6, somewhere in _PyRuntime from 3.7 on. From 3.12 on it is a
 * thread-local of libpython's or the executable's, which is at the same distance from the thread pointer in every
 * thread if the object was there when the program started. */
static current_place *global_place;
static ptrdiff_t distance; /* from the thread pointer; 0: not known */
static bool was_sought;

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
        /* Others hold the same pointer (gil.last_holder). The one that goes with Swap is it. */
        real.PyThreadState_Swap(NULL);
        bool is_it = runtime[i] == NULL;
        real.PyThreadState_Swap(attached);
        if (is_it) {
            global_place = &runtime[i];
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* From 3.15 on the gilstate slot is in the same block and holds the same pointer. */
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
        distance = (char *)found - (char *)tls_thread_pointer();
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
    } else if (real_status.binding == REAL_SHARED || real_status.binding == REAL_STATIC) {
        learn_from_tls(attached);
    }
}

/* The word is the one whose change shows in the getter's answer. On this thread nobody else reads them. */
void current_learn_aside(void) {
    if (!interp_slot_follows || distance ||
        (real_status.binding != REAL_SHARED && real_status.binding != REAL_STATIC)) {
        return;
    }
    struct tls_block block = tls_block_of((const void *)real.Py_IsInitialized);
    for (size_t i = 0; i < block.words; i++) {
        volatile uintptr_t *word = &block.start[i];
        uintptr_t before = *word;
        *word = (uintptr_t)word;
        bool is_it = interp_current() == (PyThreadState *)(void *)&block.start[i];
        *word = before;
        if (is_it) {
            distance = (char *)&block.start[i] - (char *)tls_thread_pointer();
            return;
        }
    }
}

current_place *current_find(void) {
    if (global_place || !distance) {
        return global_place;
    }
    current_place *place = (current_place *)((char *)tls_thread_pointer() + distance);
    return *place == interp_current() ? place : NULL;
}

/* pthread_self() and the thread pointer are the same on x86-64, and lie apart by a constant elsewhere. */
const void *current_place_of(uintptr_t pthread) {
    if (global_place || !distance) {
        return (const void *)global_place;
    }
    uintptr_t apart = (uintptr_t)tls_thread_pointer() - (uintptr_t)pthread_self();
    return (const void *)(pthread + apart + (uintptr_t)distance);
}

void current_forget(void) {
    global_place = NULL;
    distance = 0;
    was_sought = false;
}
