#include "diagnose/frames.h"

#include <string.h>
#include <unwind.h>

#include "diagnose/stacks.h"
#include "system/aside.h"
#include "system/audited_call.h"
#include "system/elf.h"
#include "system/loader.h"

struct unwinder {
    _Unwind_Reason_Code (*backtrace)(_Unwind_Trace_Fn, void *);
    _Unwind_Ptr (*get_ip)(struct _Unwind_Context *);
    _Unwind_Word (*get_register)(struct _Unwind_Context *, int);
};

static void *export_of(const struct elf_object *object, const char *name) {
    const ElfW(Sym) *symbol = elf_find_export(object, name);
    return symbol ? elf_symbol_address(object, symbol) : NULL;
}

static bool find_unwinder(const struct elf_object *object, void *argument) {
    struct unwinder *unwinder = argument;
    const char *slash = strrchr(object->name, '/');
    if (!slash || strncmp(slash + 1, "libgcc_s.so", strlen("libgcc_s.so")) != 0) {
        return false;
    }
    void *backtrace = export_of(object, "_Unwind_Backtrace"), *get_ip = export_of(object, "_Unwind_GetIP");
    void *get_register = export_of(object, "_Unwind_GetGR");
    memcpy(&unwinder->backtrace, &backtrace, sizeof backtrace);
    memcpy(&unwinder->get_ip, &get_ip, sizeof get_ip);
    memcpy(&unwinder->get_register, &get_register, sizeof get_register);
    return backtrace && get_ip && get_register;
}

/* Finds the unwinder, once as long as it stays where it is: a walk over the loader's list waits for whoever walks it. */
static bool get_unwinder(struct unwinder *unwinder) {
    static struct unwinder known;
    static bool is_known;
    if (__atomic_load_n(&is_known, __ATOMIC_ACQUIRE) && loader_is_code((const void *)known.backtrace)) {
        *unwinder = known;
        return true;
    }
    bool is_found = elf_visit(find_unwinder, unwinder);
    if (is_found && !__atomic_load_n(&is_known, __ATOMIC_RELAXED)) {
        known = *unwinder;
        __atomic_store_n(&is_known, true, __ATOMIC_RELEASE);
    }
    return is_found;
}

struct walk {
    const struct unwinder *unwinder;
    void **frames;
    size_t capacity, count, skip;
};

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *argument) {
    struct walk *walk = argument;
    if (walk->skip) {
        walk->skip--;
        return _URC_NO_REASON;
    }
    if (walk->count == walk->capacity) {
        return _URC_END_OF_STACK;
    }
    void *address = (void *)walk->unwinder->get_ip(context);
    if (!address) {
        return _URC_END_OF_STACK;
    }
    walk->frames[walk->count++] = address;
    if (audited_call_is(address)) {
        enum { FRAME_REGISTER = 29 };
        uintptr_t frame = walk->unwinder->get_register(context, FRAME_REGISTER);
        walk->count += audited_call_from(frame, walk->frames + walk->count, walk->capacity - walk->count);
        return _URC_END_OF_STACK;
    }
    return _URC_NO_REASON;
}

__attribute__((noinline)) size_t frames_here(void **frames, size_t capacity, const void *frame, bool *is_guess) {
    struct unwinder unwinder = {NULL, NULL, NULL};
    *is_guess = !get_unwinder(&unwinder);
    if (!*is_guess) {
        struct walk walk = {&unwinder, frames, capacity, 0, 1}; /* skip 1: the frame of this function */
        unwinder.backtrace(visit, &walk);
        return walk.count;
    }
    struct stack stack;
    memset(&stack, 0, sizeof stack);
    frame = frame ? frame : aside_host_stack();
    struct thread_look look = {.stack = (uintptr_t)(frame ? frame : __builtin_frame_address(0))};
    stacks_guess(&look, &stack); /* the first frame is look.pc */
    stack.count -= stack.count > 0;
    memmove(stack.frames, stack.frames + 1, stack.count * sizeof stack.frames[0]);
    size_t count = stack.count < capacity ? stack.count : capacity;
    memcpy(frames, stack.frames, count * sizeof *frames);
    return count;
}
