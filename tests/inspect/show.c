/* Prints what the memory of a process says about its CPython, for the tests: show PID [LOOKS]. Each thing is a line of fields,
 * `name value` with a tab between them; a stack follows its state. Waits are looked for LOOKS times (500). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "inspect/interpreter.h"
#include "inspect/python_stack.h"
#include "inspect/target.h"
#include "process.h"

enum { THREADS_MAX = 1024 };

static void show_cpython(const struct interpreter_cpython *cpython) {
    printf("cpython\t%d.%d.%d\tdebug\t%d\tfree_threaded\t%d\treason\t%s\tpath\t%s\n", cpython->major, cpython->minor,
           cpython->micro, cpython->is_debug, cpython->is_free_threaded, cpython->reason ? cpython->reason : "-",
           cpython->object->path);
}

static void show_stack(const struct interpreter_cpython *cpython, uintptr_t state) {
    char stack[16384];
    const char *reason = python_stack_read(cpython, state, stack, sizeof stack);
    if (reason) {
        printf("no stack\t%s\n", reason);
    } else {
        printf("%s", stack);
    }
}

static void show_picture(const struct interpreter_picture *picture) {
    static const char *const locks[] = {"unknown", "none", "free", "held"};
    static const char *const attachments[] = {"detached", "attached", "suspended", "shutting_down"};
    printf("finalizing\t%#" PRIxPTR "\tcut\t%d\tkey\t%d\n", picture->finalizing, picture->is_cut,
           picture->has_key ? (int)picture->key : -1);
    for (size_t i = 0; i < picture->gil_count; i++) {
        const struct interpreter_gil *gil = &picture->gils[i];
        const struct interpreter_state *holder = interpreter_state_at(picture, gil->holder);
        printf("gil\t%zu\tlock\t%s\tholder\t%#" PRIxPTR "\tholder_tid\t%d\tlast\t%#" PRIxPTR "\tswitches\t%ld\n", i,
               locks[gil->lock], gil->holder, holder ? holder->tid : 0, gil->last_holder,
               gil->has_switches ? (long)gil->switches : -1);
    }
    for (size_t i = 0; i < picture->interpreter_count; i++) {
        const struct interpreter *interpreter = &picture->interpreters[i];
        printf("interpreter\t%" PRId64 "\tgil\t%zu\town\t%d\tfinalizing\t%#" PRIxPTR "\n", interpreter->id,
               interpreter->gil, interpreter->has_own_gil, interpreter->finalizing);
    }
    for (size_t i = 0; i < picture->state_count; i++) {
        const struct interpreter_state *state = &picture->states[i];
        printf("state\t%#" PRIxPTR "\tinterpreter\t%" PRId64 "\tid\t%" PRIu64 "\tident\t%" PRIuPTR
               "\ttid\t%d\tattached_tid\t%d\tattachment\t%s\tframe\t%d\tcounter\t%d\tslot\t",
               state->address, picture->interpreters[state->interpreter].id, state->id, state->pthread, state->tid,
               state->attached_tid, attachments[state->attachment], state->has_frame, state->gilstate_counter);
        printf(state->has_slot ? "%#" PRIxPTR "\n" : "-\n", state->slot);
        if (state->has_frame) {
            show_stack(picture->cpython, state->address);
        }
    }
}

/* A wait for the GIL is left and entered again every few milliseconds. */
static void show_waits(const struct interpreter_picture *picture, int looks) {
    pid_t tids[THREADS_MAX];
    size_t count = target_threads(tids, THREADS_MAX);
    for (size_t i = 0; i < count && i < THREADS_MAX; i++) {
        enum interpreter_wait wait = WAIT_ELSEWHERE;
        size_t gil = 0;
        for (int look = 0; look < looks && wait != WAIT_FOR_GIL; look++) {
            uintptr_t futex = process_futex_of(tids[i]);
            enum interpreter_wait now = futex ? interpreter_waits_for(picture, futex, &gil) : WAIT_ELSEWHERE;
            wait = now != WAIT_ELSEWHERE ? now : wait;
            nanosleep(&(struct timespec){0, 300000}, NULL);
        }
        if (wait != WAIT_ELSEWHERE) {
            printf("wait\t%d\tfor\t%s\tgil\t%zu\n", (int)tids[i], wait == WAIT_FOR_GIL ? "gil" : "taker", gil);
        }
    }
}

int main(int argc, char **argv) {
    struct interpreter_cpython found[INTERPRETER_CPYTHONS];
    struct interpreter_picture picture;
    if (argc < 2 || !process_open((pid_t)atoi(argv[1]))) {
        perror("show");
        return 2;
    }
    size_t count = interpreter_find(found, INTERPRETER_CPYTHONS);
    for (size_t i = 0; i < count; i++) {
        show_cpython(&found[i]);
        if (!interpreter_read(&found[i], &picture)) {
            printf("nothing\n");
            continue;
        }
        show_picture(&picture);
        show_waits(&picture, argc > 2 ? atoi(argv[2]) : 500);
        interpreter_release(&picture);
    }
    return 0;
}
