/* What is read of a CPython, from a memory that is made up: for every layout of the table a small world of interpreters, states,
 * frames and code, first as it should be, then damaged. Whatever the memory has in it, reading ends, stays within its buffers
 * and gives text that can be printed. The worlds are also the only test of layouts that no interpreter here has (builds without
 * the GIL, Py_TRACE_REFS). */
#include "inspect/interpreter.h"
#include "inspect/python_stack.h"
#include "inspect/target.h"
#include "inspect/threads.h"
#include "system/thread.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

/* ---- the target: a memory of its own ---------------------------------------------------------------------------- */

enum {
    SIZE = 1 << 17,
    BASE = 0x10000000,
    DESCRIPTOR = 0x800, /* of a thread */
    TID = 4242,
    SECONDS_MAX = 300,
};

static uint8_t memory[SIZE];
static size_t used;
static unsigned long reads, reads_left; /* a target may end at any time */
static bool is_noise;                   /* every read is something else */
static uint64_t seed;

static uint64_t chance(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

bool target_read(uintptr_t address, void *to, size_t size) {
    reads++;
    if (!reads_left || address < BASE || size > SIZE || address - BASE > SIZE - size) {
        return false;
    }
    reads_left--;
    memcpy(to, memory + (address - BASE), size);
    for (size_t i = 0; is_noise && i < size; i++) {
        ((uint8_t *)to)[i] = (uint8_t)chance();
    }
    return true;
}

bool thread_read_memory(const void *from, void *to, size_t size) {
    return target_read((uintptr_t)from, to, size);
}

bool target_read_string(uintptr_t address, char *to, size_t capacity) {
    size_t i = 0;
    while (i < capacity - 1 && target_read(address + i, to + i, 1) && to[i]) {
        i++;
    }
    to[i] = '\0';
    return i > 0;
}

static struct target_object object;

size_t target_objects(const struct target_object **all) {
    *all = &object;
    return 1;
}

pid_t target_thread_of(pid_t id) {
    return id >= TID && id < TID + 100 ? id : 0;
}

/* The descriptors of the threads that states know, in the order of their tids. */
static uintptr_t descriptors[16];

uintptr_t threads_descriptor(pid_t tid) {
    return tid >= TID && tid < TID + 16 && descriptors[tid - TID] ? descriptors[tid - TID] + 0x2e0 : 0;
}

size_t target_threads(pid_t *tids, size_t capacity) {
    size_t count = 0;
    for (pid_t tid = TID; tid < TID + 16; tid++) {
        if (descriptors[tid - TID] && count++ < capacity) {
            tids[count - 1] = tid;
        }
    }
    return count;
}

static struct {
    const char *name;
    uintptr_t address;
    size_t size;
} symbols[32];
static size_t symbol_count;

bool target_symbol(const struct target_object *unused, const char *name, uintptr_t *address, size_t *size) {
    (void)unused;
    for (size_t i = 0; i < symbol_count; i++) {
        if (strcmp(symbols[i].name, name) == 0) {
            *address = symbols[i].address;
            if (size) {
                *size = symbols[i].size;
            }
            return true;
        }
    }
    return false;
}

/* ---- making a world --------------------------------------------------------------------------------------------- */

struct version {
    int major, minor;
    bool is_debug, is_free_threaded;
    struct layout layout;
};

static const struct version versions[] = {
#define LAYOUT(machine, major, minor, debug, free_threaded, ...) {major, minor, debug, free_threaded, {__VA_ARGS__}},
#define DEBUG_OFFSETS(...)
#ifdef __aarch64__
#define WANTED "aarch64"
#else
#define WANTED "x86_64"
#endif
#include "cpython/layouts.def"
#undef LAYOUT
#undef DEBUG_OFFSETS
};

static const char *const machines[] = {
#define LAYOUT(machine, ...) #machine,
#define DEBUG_OFFSETS(...)
#include "cpython/layouts.def"
#undef LAYOUT
#undef DEBUG_OFFSETS
};

static const struct version places[] = {
#define LAYOUT(...)
#define DEBUG_OFFSETS(machine, major, minor, debug, free_threaded, ...) \
    {major, minor, debug, free_threaded, {__VA_ARGS__}},
#include "cpython/layouts.def"
#undef LAYOUT
#undef DEBUG_OFFSETS
};

static uintptr_t allot(size_t size) {
    uintptr_t address = BASE + used;
    used += (size + 31) & ~(size_t)31;
    if (used > SIZE) {
        abort();
    }
    return address;
}

static void put(uintptr_t address, int32_t offset, const void *value, size_t size) {
    if (offset >= 0) {
        memcpy(memory + (address - BASE) + offset, value, size);
    }
}

static void put_word(uintptr_t address, int32_t offset, uint64_t value) {
    put(address, offset, &value, sizeof value);
}

static void put_int(uintptr_t address, int32_t offset, int32_t value) {
    put(address, offset, &value, sizeof value);
}

static uintptr_t add_symbol(const char *name, size_t size) {
    uintptr_t address = allot(size);
    symbols[symbol_count].name = name;
    symbols[symbol_count].address = address;
    symbols[symbol_count++].size = size;
    return address;
}

/* A bytes object. */
static uintptr_t make_bytes(const struct layout *layout, const void *bytes, size_t size) {
    uintptr_t address = allot((size_t)layout->bytes_data + size);
    put_word(address, layout->bytes_size, size);
    put(address, layout->bytes_data, bytes, size);
    return address;
}

/* A str; characters of 1 or 2 bytes. */
static uintptr_t make_text(const struct version *version, const char *text, unsigned kind) {
    const struct layout *layout = &version->layout;
    size_t length = strlen(text);
    if (version->major == 2) {
        return make_bytes(layout, text, length);
    }
    int32_t start = kind == 1 ? layout->text_ascii : layout->text_compact;
    uintptr_t address = allot((size_t)start + length * kind);
    put_word(address, layout->text_length, length);
    put_int(
        address, layout->text_state,
        (int32_t)(kind << layout->text_kind | 1u << layout->text_is_compact | (kind == 1) << layout->text_is_ascii));
    for (size_t i = 0; i < length; i++) {
        put(address, start + (int32_t)(i * kind), text + i, 1);
    }
    return address;
}

static uintptr_t made_copy;

enum { FIRST_LINE = 10, FRAMES = 3, CODE_AT = 6 /* bytes */ };

/* A code object in whose table all bytes from the third instruction on are of line 12. */
static uintptr_t make_code(const struct version *version, uintptr_t type, const char *name) {
    const struct layout *layout = &version->layout;
    static const uint8_t lnotab[] = {2, 1, 2, 1, 50, 1}, linetable[] = {2, 1, 2, 0, 50, 1},
                         locations[] = {0xd8, 0 /* one line further */, 0x80, 0, 0xef, 2 /* svarint 1 */, 0xf8};
    uintptr_t address = allot(512);
    put_word(address, layout->object_type, type);
    put_word(address, layout->code_file, make_text(version, "file.py", 1));
    put_word(address, layout->code_name, make_text(version, name, 2));
    put_int(address, layout->code_line, FIRST_LINE);
    if (layout->code_tlbc >= 0) { /* the bytecode has a copy */
        uintptr_t array = allot(32);
        made_copy = allot(64);
        put_word(address, layout->code_tlbc, array);
        put_word(array, 0, 2);
        put_word(array, 16, made_copy);
    }
    bool is_old = version->major == 2 || version->minor < 10;
    put_word(address, layout->code_lines,
             is_old                 ? make_bytes(layout, lnotab, sizeof lnotab)
             : version->minor == 10 ? make_bytes(layout, linetable, sizeof linetable)
                                    : make_bytes(layout, locations, sizeof locations));
    return address;
}

/* Frames of `code`, innermost first. */
static uintptr_t make_frames(const struct version *version, uintptr_t code) {
    const struct layout *layout = &version->layout;
    uintptr_t back = 0;
    for (int i = 0; i < FRAMES; i++) {
        uintptr_t frame = allot(256);
        put_word(frame, layout->frame_back, back);
        put_word(frame, layout->frame_code, code | (version->minor >= 14)); /* with a tag */
        if (layout->code_bytes < 0) {
            put_int(frame, layout->frame_at, version->minor == 10 ? CODE_AT / 2 : CODE_AT);
        } else {
            uintptr_t start = code + (uintptr_t)layout->code_bytes;
            if (layout->frame_tlbc >= 0 && i == 1) { /* in the copy */
                put_int(frame, layout->frame_tlbc, 1);
                start = made_copy;
            }
            put_word(frame, layout->frame_at, start + CODE_AT);
        }
        back = frame;
        if (layout->frame_owner >= 0 && version->minor >= 12) { /* one that is no Python code */
            frame = allot(256);
            put_word(frame, layout->frame_back, back);
            put(frame, layout->frame_owner, "\3", 1);
            back = frame;
        }
    }
    if (layout->cframe_frame >= 0) {
        uintptr_t cframe = allot(32);
        put_word(cframe, layout->cframe_frame, back);
        return cframe;
    }
    return back;
}

enum { INTERPRETERS = 2, STATES = 3, NEAR_KEY = 3, FAR_KEY = 70, BLOCK = 0x310, BLOCKS = BLOCK + 32 * 16 };

static uintptr_t made_variables[INTERPRETERS * STATES];

/* glibc's thread descriptor: the id, the thread-local variables, and the keys in blocks of 32, the first of which is in it. */
static uintptr_t make_descriptor(int tid, unsigned key, uintptr_t value) {
    uintptr_t descriptor = allot(DESCRIPTOR), block = descriptor + BLOCK;
    put_int(descriptor, 720, tid);
    put_word(descriptor, BLOCKS, block);
    if (key >= 32) {
        block = allot(512);
        put_word(descriptor, BLOCKS + (int)(key / 32) * 8, block);
    }
    descriptors[tid - TID] = descriptor;
    put_word(descriptor, 0, descriptor);
    uintptr_t dtv = allot(64) + 16, variables = made_variables[tid - TID] = allot(128);
    put_word(descriptor, 8, dtv);
    put_word(dtv - 16, 0, 2);        /* modules */
    put_word(dtv, 16, (uint64_t)-1); /* the first one has no variables yet */
    put_word(dtv, 32, variables);
    put_word(variables, 24, value);           /* 3.15's slot */
    put_word(block, (int)(key % 32) * 16, 1); /* in use */
    put_word(block, (int)(key % 32) * 16 + 8, value);
    return descriptor;
}

static uintptr_t made_runtime, made_interpreters[INTERPRETERS], made_states[INTERPRETERS][STATES], made_gil, made_code;

static void put_version(const struct version *version, uintptr_t runtime) {
    if (version->minor >= 11) {
        put_word(add_symbol("Py_Version", 8), 0,
                 (uint64_t)version->major << 24 | (uint64_t)version->minor << 16 | 0x7f0);
    }
    if (version->minor < 13) {
        return;
    }
    put(runtime, 0, "xdebugpy", 8);
    put_word(runtime, 8, (uint64_t)version->major << 24 | (uint64_t)version->minor << 16 | 0x7f0);
    put_word(runtime, 16, version->is_free_threaded);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const int32_t *from = (const int32_t *)&places[i].layout, *offsets = (const int32_t *)&version->layout;
        bool is_it = places[i].minor == version->minor && places[i].is_free_threaded == version->is_free_threaded;
        for (size_t j = 0; is_it && j < sizeof(struct layout) / sizeof *from; j++) {
            if (from[j] >= 0) {
                put_word(runtime, from[j], (uint64_t)offsets[j]);
            }
        }
    }
}

static void name_minor(int minor) {
    static const struct {
        int since;
        const char *name;
    } names[] = {{10, "PyModule_AddObjectRef"}, {9, "PyInterpreterState_Get"}, {8, "PyConfig_InitPythonConfig"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (minor >= names[i].since) {
            add_symbol(names[i].name, 0);
        }
    }
}

static void make_world(const struct version *version) {
    const struct layout *layout = &version->layout;
    uintptr_t runtime = 0, head, current = 0;
    memset(memory, 0, sizeof memory);
    used = symbol_count = 0;
    reads_left = -1ul;
    is_noise = false;
    add_symbol("PyInterpreterState_Head", 0);
    add_symbol("PyEval_RestoreThread", 0);
    if (version->is_debug) {
        add_symbol(version->is_free_threaded ? "_Py_NegativeRefcount" : "_Py_PrintReferences", 0);
    }
    uintptr_t code_type = add_symbol("PyCode_Type", 32);
    unsigned key = version->minor % 2 ? NEAR_KEY : FAR_KEY;
    if (version->major == 3 && version->minor >= 7) {
        runtime = made_runtime = add_symbol("_PyRuntime", 8192);
        head = runtime + (uintptr_t)layout->runtime_head;
        current = layout->runtime_current >= 0 ? runtime + (uintptr_t)layout->runtime_current : 0;
        put_version(version, runtime);
        name_minor(version->minor);
        put_int(runtime, layout->runtime_key, 1); /* created */
        put_int(runtime, layout->runtime_key < 0 ? -1 : layout->runtime_key + 4, (int32_t)key);
        made_gil =
            layout->runtime_gil >= 0 ? runtime + (uintptr_t)layout->runtime_gil : allot((size_t)layout->gil_size);
    } else {
        head = add_symbol("interp_head", 8);
        current = add_symbol("_PyThreadState_Current", 8);
        add_symbol(version->major == 2 ? "PyString_FromString" : "PyOS_FSPath", 0);
        add_symbol("PyCapsule_New", 0);
        if (version->major == 2) {
            made_gil = allot(32);
            put_word(add_symbol("interpreter_lock", 8), 0, made_gil);
        } else {
            made_gil = add_symbol("gil_locked", 4);
            put_int(made_gil, 0, 1);
        }
    }
    memset(descriptors, 0, sizeof descriptors);
    made_code = make_code(version, code_type, "name");
    for (int i = INTERPRETERS - 1; i >= 0; i--) {
        uintptr_t interpreter = made_interpreters[i] = allot(8192);
        put_word(interpreter, layout->interp_next, i < INTERPRETERS - 1 ? made_interpreters[i + 1] : 0);
        put_word(interpreter, layout->interp_id, (uint64_t)i + 5);
        put_word(interpreter, layout->interp_gil, made_gil);
        for (int j = STATES - 1; j >= 0; j--) {
            uintptr_t state = made_states[i][j] = allot(512);
            uintptr_t descriptor = make_descriptor(TID + i * STATES + j, key, state);
            put_word(state, layout->state_next, j < STATES - 1 ? made_states[i][j + 1] : 0);
            put_word(state, layout->state_interp, interpreter);
            put_word(state, layout->state_frame, j ? make_frames(version, made_code) : 0);
            put_word(state, layout->state_thread, descriptor);
            put_word(state, layout->state_native, (uint64_t)(TID + i * STATES + j));
            put_int(state, layout->state_attachment, version->is_free_threaded ? j : i == 0 && j == 1);
        }
        put_word(interpreter, layout->interp_states, made_states[i][0]);
    }
    put_word(head, 0, made_interpreters[0]);
    put_word(made_variables[1], 8, made_states[0][1]); /* attached */
    if (current) {
        put_word(current, 0, made_states[0][1]);
    }
    if (runtime) {
        put_word(made_gil, layout->gil_interval, 5000);
        put_int(made_gil, layout->gil_locked, 1);
        put_word(made_gil, layout->gil_holder, made_states[0][1]);
        put_word(made_gil, layout->gil_switches, 77);
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------ */

static size_t find(struct interpreter_cpython *cpython) {
    memset(cpython, 0, sizeof *cpython);
    return interpreter_find(cpython, 1);
}

static void check_world(const struct version *version) {
    struct interpreter_cpython cpython;
    struct interpreter_picture picture;
    char stack[4096];
    CHECK(find(&cpython) == 1 && !cpython.reason && cpython.major == version->major &&
          cpython.minor == version->minor && cpython.is_free_threaded == version->is_free_threaded);
    CHECK(memcmp(&cpython.layout, &version->layout, sizeof cpython.layout) == 0);
    if (!interpreter_read(&cpython, &picture)) {
        CHECK(!"nothing was read");
        return;
    }
    CHECK(!picture.is_cut && picture.interpreter_count == INTERPRETERS && picture.state_count == INTERPRETERS * STATES);
    CHECK(picture.gil_count == 1 && picture.gils[0].address == made_gil);
    bool has_gil = !version->is_free_threaded;
    CHECK(picture.gils[0].lock == (has_gil ? GIL_HELD : GIL_NONE));
    CHECK(picture.gils[0].holder == (has_gil ? made_states[0][1] : 0));
    CHECK(interpreter_state_at(&picture, made_states[1][2]) == &picture.states[STATES + 2]);
    for (size_t i = 0; i < picture.state_count; i++) {
        const struct interpreter_state *state = &picture.states[i];
        size_t place = i % STATES;
        CHECK(state->address == made_states[i / STATES][place] && state->interpreter == i / STATES);
        CHECK(state->has_slot == (version->layout.runtime_key >= 0) &&
              (!state->has_slot || state->slot == state->address));
        CHECK(state->tid == (pid_t)(TID + i) && state->has_frame == (place > 0));
        CHECK(state->attachment ==
              (has_gil ? (i == 1 ? STATE_ATTACHED : STATE_DETACHED) : (enum interpreter_attachment)place));
        const char *reason = python_stack_read(&cpython, state->address, stack, sizeof stack);
        CHECK(place ? !reason && strcmp(stack, "  File \"file.py\", line 12 in name\n"
                                               "  File \"file.py\", line 12 in name\n"
                                               "  File \"file.py\", line 12 in name\n") == 0
                    : reason && !stack[0]);
    }
    uintptr_t futex = cpython.runtime ? made_gil + (uintptr_t)version->layout.gil_cond + 8 : made_gil;
    size_t gil = 9;
    enum interpreter_wait wait = interpreter_waits_for(&picture, futex, &gil);
    CHECK(version->major == 3 && version->minor == 6 ? wait == WAIT_ELSEWHERE : wait == WAIT_FOR_GIL && gil == 0);
    CHECK(interpreter_waits_for(&picture, made_gil - 8, NULL) == WAIT_ELSEWHERE);
    interpreter_release(&picture);
}

#ifdef __x86_64__
/* A function that begins with an instruction that refers to `to`, `mov to(%rip),%rax` or `lea`. */
static void add_code(const char *name, uint8_t opcode, uintptr_t to) {
    uintptr_t at = add_symbol(name, 16);
    const uint8_t instruction[] = {0x48, opcode, 0x05};
    put(at, 0, instruction, sizeof instruction);
    put_int(at, 3, (int32_t)(to - (at + 7)));
    put(at, 7, "\xc3", 1); /* ret */
}

static const struct version *version_of(int major, int minor) {
    const struct version *version = versions;
    while (version->major != major || version->minor != minor) {
        version++;
    }
    return version;
}

/* 3.7's first releases had the attached state, and what is behind it, elsewhere. */
static void believes_code_rather_than_the_table(void) {
    struct version old = *version_of(3, 7);
    old.layout.runtime_current -= 40;
    old.layout.runtime_gil -= 40;
    old.layout.runtime_key -= 40;
    make_world(&old);
    add_code("_PyThreadState_UncheckedGet", 0x8b, made_runtime + (uintptr_t)old.layout.runtime_current);
    check_world(&old);
}

static void finds_the_whole_version(void) {
    struct interpreter_cpython cpython;
    make_world(version_of(3, 8));
    uintptr_t text = allot(64);
    put(text, 0, "3.8.18 (default, ", 17);
    add_code("Py_GetVersion", 0x8d, text);
    CHECK(find(&cpython) && cpython.minor == 8 && cpython.micro == 18);
    put(text, 0, "3.9", 3); /* something else */
    CHECK(find(&cpython) && cpython.minor == 8 && cpython.micro == -1);
}

/* Up to 3.6 the first interpreter and 2.7's lock are in hidden variables. */
static void finds_hidden_variables(void) {
    for (int major = 2; major <= 3; major++) {
        const struct version *version = version_of(major, major == 2 ? 7 : 6);
        struct interpreter_cpython cpython;
        struct interpreter_picture picture;
        make_world(version);
        for (size_t i = 0; i < symbol_count; i++) {
            if (strcmp(symbols[i].name, "interp_head") == 0) {
                symbols[i].name = "";
                add_code("PyInterpreterState_Head", 0x8b, symbols[i].address);
            } else if (strcmp(symbols[i].name, "interpreter_lock") == 0) {
                symbols[i].name = "";
                add_code("PyEval_ReleaseLock", 0x8b, symbols[i].address);
            } else if (strcmp(symbols[i].name, "gil_locked") == 0) {
                symbols[i].name = ""; /* not found any other way */
            }
        }
        symbols[0].name = ""; /* the function as it was */
        CHECK(find(&cpython) == 1 && !cpython.reason && interpreter_read(&cpython, &picture));
        CHECK(picture.state_count == INTERPRETERS * STATES && picture.gils[0].lock == GIL_HELD);
        CHECK(picture.gils[0].holder == made_states[0][1] && picture.gils[0].address == (major == 2 ? made_gil : 0));
        interpreter_release(&picture);
    }
}
#endif

static bool is_ours(const struct version *version) {
    return strcmp(machines[version - versions], WANTED) == 0;
}

#define FOR_EACH_VERSION(version)                                                                             \
    for (const struct version *version = versions; version < versions + sizeof versions / sizeof versions[0]; \
         version++)                                                                                           \
        if (is_ours(version))

static void reads_every_layout(void) {
    int count = 0;
    FOR_EACH_VERSION(version) {
        make_world(version);
        check_world(version);
        count++;
    }
    CHECK(count >= 16);
}

#ifdef __x86_64__
/* Returns the thread that has the attached state, as it is found in the world as it is now. */
static pid_t attacher(void) {
    struct interpreter_cpython cpython;
    struct interpreter_picture picture;
    CHECK(find(&cpython) && interpreter_read(&cpython, &picture));
    pid_t tid = picture.states[1].attached_tid;
    CHECK(picture.states[1].tid == TID + 1);
    interpreter_release(&picture);
    return tid;
}

static void finds_the_thread_that_has_a_state_attached(void) {
    FOR_EACH_VERSION(version) {
        bool is_local = version->minor >= 12 && !version->is_free_threaded;
        make_world(version);
        CHECK(attacher() == (is_local ? TID + 1 : 0));
        put_word(made_variables[1], 8, 0);
        CHECK(attacher() == 0);
        put_word(made_variables[4], 8, made_states[0][1]); /* on another thread than made it */
        CHECK(attacher() == (is_local ? TID + 4 : 0));
        put_word(made_variables[2], 8, made_states[0][1]); /* two have it: one of the variables is something else */
        CHECK(attacher() == 0);
        put_word(made_variables[5], 8, made_states[1][2]); /* where threads keep what is not attached */
        CHECK(attacher() == 0);
    }
}
#endif

static bool is_printable(const char *text) {
    for (; *text; text++) {
        if ((*text < ' ' || *text > 126) && *text != '\n') {
            return false;
        }
    }
    return true;
}

/* Reads all there is, in buffers of their exact size. */
static void read_all(void) {
    struct interpreter_cpython cpython;
    struct interpreter_picture picture;
    reads = 0;
    if (!find(&cpython)) {
        return;
    }
    bool is_read = interpreter_read(&cpython, &picture);
    for (size_t i = 0; is_read && i < picture.state_count && i < 20; i++) {
        size_t capacity = 1 + chance() % 3000;
        char *stack = malloc(capacity);
        memset(stack, 0xff, capacity);
        python_stack_read(&cpython, picture.states[i].address, stack, capacity);
        CHECK(memchr(stack, 0, capacity) && is_printable(stack));
        free(stack);
    }
    for (size_t i = 0; is_read && i < picture.gil_count && i < 20; i++) {
        interpreter_look_again(&cpython, &picture.gils[i]);
        interpreter_waits_for(&picture, picture.gils[i].address + chance() % 300, NULL);
    }
    if (is_read) {
        interpreter_release(&picture);
    }
    CHECK(reads < 3000000);
}

static uint64_t word_of_garbage(void) {
    switch (chance() % 6) {
    case 0: return chance();
    case 1: return chance() % 100;
    case 2: return (uint64_t) - (int64_t)(chance() % 100);
    case 3: return 0;
    case 4: return BASE + chance() % SIZE;
    default: return BASE + (chance() % used & ~(uint64_t)31);
    }
}

static void damage(unsigned long words) {
    while (words--) {
        uint64_t value = word_of_garbage();
        size_t size = (size_t[]){1, 4, 8}[chance() % 3], at = chance() % (used - 8) & ~(size - 1);
        memcpy(memory + at, &value, size);
    }
}

enum { ROUNDS = 150 };

static void survives_damage(void) {
    FOR_EACH_VERSION(version) {
        for (int i = 0; i < ROUNDS; i++) {
            make_world(version);
            damage(1 + chance() % (i % 3 ? 50 : 2000));
            read_all();
        }
    }
}

static void survives_an_end_at_any_time(void) {
    FOR_EACH_VERSION(version) {
        make_world(version);
        read_all();
        for (unsigned long i = 0, all = reads; i < all; i += 1 + all / 200) {
            make_world(version);
            reads_left = i;
            read_all();
        }
    }
}

static void survives_nothing_but_garbage(void) {
    FOR_EACH_VERSION(version) {
        for (int i = 0; i < ROUNDS; i++) {
            make_world(version);
            for (size_t at = 0; at + 8 <= SIZE; at += 8) {
                uint64_t word = word_of_garbage();
                memcpy(memory + at, &word, sizeof word);
            }
            if (i % 2) { /* as far as to the first interpreter */
                put_version(version, made_runtime);
            }
            is_noise = i % 3 == 0;
            read_all();
        }
    }
}

/* Circles in each list, of each length. */
static void survives_circles(void) {
    FOR_EACH_VERSION(version) {
        const struct layout *layout = &version->layout;
        for (int length = 1; length <= STATES; length++) {
            make_world(version);
            put_word(made_states[0][length - 1], layout->state_next, made_states[0][0]);
            read_all();
            struct interpreter_cpython cpython;
            struct interpreter_picture picture;
            CHECK(find(&cpython) && interpreter_read(&cpython, &picture) && picture.is_cut);
            CHECK(picture.state_count >= (size_t)length && picture.state_count < 20);
            interpreter_release(&picture);
        }
        make_world(version);
        put_word(made_interpreters[1], layout->interp_next, made_interpreters[0]);
        read_all();
        make_world(version);
        uintptr_t frame = make_frames(version, made_code);
        put_word(made_states[0][0], layout->state_frame, frame);
        put_word(frame, layout->frame_back, frame);
        read_all();
    }
}

int main(void) {
    alarm(SECONDS_MAX);
    seed = 0x9e3779b97f4a7c15;
    RUN(reads_every_layout);
#ifdef __x86_64__
    RUN(believes_code_rather_than_the_table);
    RUN(finds_the_whole_version);
    RUN(finds_hidden_variables);
    RUN(finds_the_thread_that_has_a_state_attached);
#endif
    RUN(survives_damage);
    RUN(survives_an_end_at_any_time);
    RUN(survives_nothing_but_garbage);
    RUN(survives_circles);
    return test_end();
}
