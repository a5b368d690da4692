#include "diagnose/stacks.h"

#include <string.h>
#include <time.h>

#include "system/call_site.h"
#include "system/cfi.h"
#include "system/elf.h"
#include "system/loader.h"
#include "system/redirected.h"

/* ---- what looks like return addresses ---------------------------------------------------------------------------- */

static bool is_code(uintptr_t address) {
    struct elf_object object;
    if (address < 4096 || !elf_find_by_address((const void *)address, &object)) {
        return false;
    }
    for (size_t i = 0; i < object.segment_count; i++) {
        const ElfW(Phdr) *segment = &object.segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
            address - object.bias - segment->p_vaddr < segment->p_memsz) {
            return true;
        }
    }
    return false;
}

/* Takes the words on the stack that point right after a call instruction. */
void stacks_guess(const struct thread_look *look, struct stack *stack) {
    uintptr_t words[256];
    if (!look->stack) {
        return;
    }
    stack->source = STACK_GUESSED;
    stack->frames[stack->count++] = (void *)look->pc;
    for (int block = 0; block < 8; block++) {
        if (!thread_read_memory((const void *)(look->stack + (size_t)block * sizeof words), words, sizeof words)) {
            return;
        }
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            if (stack->count == STACK_FRAMES) {
                return;
            }
            uintptr_t address = cfi_return_address(words[i]);
            if (is_code(address) && call_site_is_before(address)) {
                stack->frames[stack->count++] = (void *)address;
            }
        }
    }
}

/* ---- code, and who calls whom ----------------------------------------------------------------------------------- */

/* The executable segments when they were last read. */
static struct {
    struct range {
        uintptr_t start, end;
    } ranges[1024];
    size_t count;
    uint64_t loads;
} code;

static bool add_segments(const struct elf_object *object, void *unused) {
    (void)unused;
    for (size_t i = 0; i < object->segment_count; i++) {
        const ElfW(Phdr) *segment = &object->segments[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
            code.count < sizeof code.ranges / sizeof code.ranges[0]) {
            uintptr_t start = object->bias + segment->p_vaddr;
            code.ranges[code.count++] = (struct range){start, start + segment->p_memsz};
        }
    }
    return false;
}

static void learn_code(void) {
    uint64_t loads = loader_changes();
    if (!code.count || loads != code.loads) {
        code.count = 0;
        code.loads = loads;
        elf_visit(add_segments, NULL);
    }
}

static bool is_return_address(uintptr_t word) {
    for (size_t i = 0; i < code.count; i++) {
        if (word > code.ranges[i].start && word <= code.ranges[i].end) {
            return call_site_is_before(word);
        }
    }
    return false;
}

/* The page of the stack that was last read. */
static struct {
    uintptr_t start;
    uintptr_t words[512];
} page;

static bool read_word(uintptr_t address, uintptr_t *word) {
    if (address % sizeof *word) {
        return false;
    }
    if (!page.start || address - page.start >= sizeof page.words) {
        page.start = address & ~(sizeof page.words - 1);
        if (!thread_read_memory((const void *)page.start, page.words, sizeof page.words)) {
            page.start = 0;
            return false;
        }
    }
    *word = page.words[(address - page.start) / sizeof *word];
    return true;
}

/* Reads a word that may be a return address. */
static bool read_return(uintptr_t address, uintptr_t *back) {
    bool is_read = read_word(address, back);
    *back = is_read ? cfi_return_address(*back) : 0;
    return is_read;
}

/* ---- from a system call outwards -------------------------------------------------------------------------------- */

/* Returns true if the registers of the frame lead on from it: it is the outermost, or a return address lies where its
 * function has saved one. */
static bool leads_on(const struct cfi_frame *frame) {
    struct cfi_frame outer = *frame;
    struct cfi_shape shape;
    uintptr_t function;
    return (cfi_shape(frame->pc, frame->is_call, &shape) && shape.is_outermost) ||
           (cfi_step(&outer, read_word, &function) == CFI_STEPPED && is_return_address(outer.pc));
}

/* Fills `caller` with the frame to which the return address at `place` leads. Returns true if what the function has saved
 * around that place leads on; then the caller's registers are known. What an earlier call has left there does not, as a
 * rule. */
static bool take_caller(const struct cfi_frame *frame, uintptr_t place, uintptr_t back, struct cfi_frame *caller) {
    *caller = *frame;
    if (cfi_step_over(caller, place, read_word) && caller->pc == back && leads_on(caller)) {
        return true;
    }
    *caller = (struct cfi_frame){.pc = back, .is_call = true, .known = 1ull << CFI_STACK};
    caller->values[CFI_STACK] = place + sizeof back;
    return false;
}

/* Used where the extent of the frame cannot be told: finds the next return address above, preferably one that leads on, and
 * rather one after a call of this very function than that. Returns false if there is none. */
static bool find_caller(struct cfi_frame *frame, uintptr_t function, bool *is_sure) {
    enum { WORDS = 2048, MAY_CALL_IT = 1, LEADS_ON = 2, CALLS_IT = 4, BEST = LEADS_ON | CALLS_IT };
    uintptr_t stack = frame->values[CFI_STACK], word;
    struct cfi_frame found = *frame;
    unsigned best = 0;
    for (uintptr_t at = stack; at < stack + WORDS * sizeof word && best < BEST && read_return(at, &word);
         at += sizeof word) {
        if (!is_return_address(word)) {
            continue;
        }
        struct cfi_frame caller;
        uintptr_t callee = call_site_callee(word);
        bool leads = take_caller(frame, at, word, &caller);
        unsigned rank = function && callee == function ? CALLS_IT : 0;
        rank |= leads ? LEADS_ON : 0;
        rank |= !callee ? MAY_CALL_IT : 0;
        if (rank > best) {
            best = rank;
            found = caller;
        }
    }
    *is_sure = best >= CALLS_IT;
    if (best) {
        *frame = found;
    }
    return best != 0;
}

#if defined(__aarch64__)
/* The functions that may have been called where `back` is the return address, best first. With check=locks one of ours may be
 * there now, which the thread did not come through, or that has called another one by a pointer. */
struct callees {
    uintptr_t functions[2];
};

static struct callees callees_of(uintptr_t back) {
    uintptr_t callee = call_site_callee(back), caller = callee ? 0 : (uintptr_t)stacks_function_of((void *)back);
    uintptr_t original = redirected_original(callee ? callee : caller);
    return (struct callees){{original != caller ? original : 0, callee != original ? callee : 0}};
}

/* Steps from `function`, in which the pc stands somewhere and whose frame record is at `record`, to its caller, and adds the
 * function. Returns false if its frame does not lie so. */
static bool step_out_of(uintptr_t function, uintptr_t record, struct cfi_frame *frame, struct stack *stack) {
    enum { PROLOGUE = 64 };
    uintptr_t place = record + sizeof record, back;
    for (uintptr_t at = 4; function && read_return(place, &back) && at <= PROLOGUE; at += 4) {
        struct cfi_frame inside = {.pc = function + at, .is_call = true, .known = 1ull << CFI_STACK}, outside;
        inside.values[CFI_STACK] = record;
        if (take_caller(&inside, place, back, &outside)) {
            stack->frames[stack->count++] = (void *)inside.pc;
            *frame = outside;
            return true;
        }
    }
    return false;
}
#endif

/* On AArch64 a function that calls no other keeps its return address in a register, which is not known of a thread that sleeps (libc's
 * syscall is one). Its caller's frame begins at the stack pointer, with the frame record: what the caller's caller had in
 * x29, and the address that the caller returns to (AAPCS64 6.4.6). Steps to the caller's caller, and adds the caller, of which only the
 * function is known. Returns false if it does not lie so. */
static bool step_over_leaf(struct cfi_frame *frame, struct stack *stack) {
#if defined(__aarch64__)
    struct cfi_shape shape;
    uintptr_t back;
    bool is_leaf =
        !(frame->known >> CFI_RETURN & 1) && cfi_shape(frame->pc, frame->is_call, &shape) && shape.is_by_stack;
    uintptr_t record = frame->values[CFI_STACK] + (is_leaf ? shape.size : 0);
    if (is_leaf && stack->count + 1 < STACK_FRAMES && read_return(record + sizeof back, &back) &&
        is_return_address(back)) {
        struct callees callees = callees_of(back);
        return step_out_of(callees.functions[0], record, frame, stack) ||
               step_out_of(callees.functions[1], record, frame, stack);
    }
#else
    (void)frame;
    (void)stack;
#endif
    return false;
}

static void walk(const struct thread_look *look, struct stack *stack) {
    struct cfi_frame frame = {.pc = look->pc, .known = 1ull << CFI_STACK};
    frame.values[CFI_STACK] = look->stack;
    stacks_registers_of(look->tid, &frame);
    stack->frames[stack->count++] = (void *)frame.pc;
    stack->source = STACK_TAKEN;
    while (stack->count < STACK_FRAMES) {
        uintptr_t function = 0;
        bool is_sure = true;
        enum cfi_result result = cfi_step(&frame, read_word, &function);
        if (result == CFI_OUTERMOST ||
            (result == CFI_LOST && !step_over_leaf(&frame, stack) && !find_caller(&frame, function, &is_sure))) {
            return;
        }
        if (!is_sure && stack->source == STACK_TAKEN) {
            stack->sure = stack->count;
            stack->source = STACK_GUESSED;
            stack->reason = "a function in it does not say how its frame lies";
        }
        stack->frames[stack->count++] = (void *)frame.pc;
    }
}

/* ---- from the thread's start inwards ---------------------------------------------------------------------------- */

enum { FRAME_WORDS = 8192 /* the largest frame that is looked into */, DEEPEST = 4096 /* frames */ };

/* A return address found on the stack, in a frame that ends where the frame above it begins. */
struct site {
    uintptr_t place, address;
};

/* Finds the outermost frame, in the function that began the thread. */
static bool find_start(uintptr_t top, struct site *site) {
    uintptr_t word;
    for (uintptr_t at = (top & ~(uintptr_t)7) + 16 * sizeof word; at > top - FRAME_WORDS * sizeof word;
         at -= sizeof word) {
        struct cfi_shape shape;
        if (read_return(at, &word) && is_return_address(word) && cfi_shape(word, true, &shape) && shape.is_outermost) {
            *site = (struct site){at, word};
            return true;
        }
    }
    return false;
}

/* Returns true if the function that was called at `outer` may have made the call that returns to `address`, saved at
 * `place`. */
static bool fits(const struct site *outer, uintptr_t callee, uintptr_t place, uintptr_t address) {
    uintptr_t end = outer->place + sizeof end, below;
    struct cfi_shape shape;
    if (!cfi_shape(address, true, &shape) || shape.is_outermost) {
        return false;
    }
#if defined(__aarch64__)
    /* Return addresses lie at the lower end of frames, whose sizes so say nothing. But in front of each is where the caller's lies, in
     * a chain (AAPCS64 6.4.6), which compilers keep unless they are told not to. */
    (void)callee;
    return read_word(place - sizeof below, &below) && below == end - 2 * sizeof below;
#else
    if (shape.is_by_stack) {
        return place + sizeof end + shape.size == end;
    }
    /* The frame is found by a frame pointer: the next function called saves it before all else. */
    return (callee && shape.function == callee) ||
           (read_word(place - sizeof below, &below) && below == end - 2 * sizeof below);
#endif
}

static bool find_inner(const struct site *outer, uintptr_t callee, struct site *inner) {
    uintptr_t word;
    for (uintptr_t at = outer->place - sizeof word;
         at > outer->place - FRAME_WORDS * sizeof word && read_return(at, &word); at -= sizeof word) {
        if (is_return_address(word) && fits(outer, callee, at, word)) {
            *inner = (struct site){at, word};
            return true;
        }
    }
    return false;
}

static void follow(pid_t tid, struct stack *stack) {
    static void *frames[STACK_FRAMES]; /* a ring: the innermost frames matter most */
    struct site site;
    size_t count = 0;
    uintptr_t top = stacks_top_of(tid), callee = 0;
    if (!top || !find_start(top, &site)) {
        return;
    }
    do {
        frames[count++ % STACK_FRAMES] = (void *)site.address;
        callee = call_site_callee(site.address);
    } while (count < DEEPEST && find_inner(&site, callee, &site));
    if (callee) {
        frames[count++ % STACK_FRAMES] = (void *)(callee + 1); /* as a return address: past its first byte */
    }
    stack->source = STACK_GUESSED;
    while (count && stack->count < STACK_FRAMES) {
        stack->frames[stack->count++] = frames[--count % STACK_FRAMES];
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------- */

static struct thread_look look_again(const struct thread_look *look) {
    struct thread_look fresh = *look;
    for (unsigned i = stacks_patience(); i > 0 && fresh.call < 0 && !fresh.is_hidden; i--) {
        struct timespec pause = {0, 200000};
        nanosleep(&pause, NULL);
        thread_look_at_call(look->tid, &fresh);
    }
    return fresh;
}

void stacks_take(const struct thread_look *look, struct stack *stack) {
    struct thread_look fresh = look_again(look);
    memset(stack, 0, sizeof *stack);
    page.start = 0;
    learn_code();
    if (fresh.stack) {
        walk(&fresh, stack);
        stack->sure = stack->source == STACK_TAKEN ? stack->count : stack->sure;
    } else {
        stack->reason = fresh.is_hidden ? "the kernel hides where it stands" : "it is running";
        follow(fresh.tid, stack);
    }
}
