#include "diagnose/timeline_gils.h"

#include <stdbool.h>
#include <stddef.h>

#include "cpython/gil.h"
#include "cpython/interp.h"
#include "cpython/pauses.h"
#include "cpython/real.h"
#include "system/thread.h"

enum { KEPT = 256 };
static struct kept {
    const void *interpreter;
    int64_t gil;
    unsigned round;
} table[KEPT];
static unsigned current_round;
static bool is_off;
static bool may_ask; /* CPython is there, and has several interpreters */

/* An interpreter is so large that its memory goes back to the system when it ends, maybe while it is read. */
void timeline_gils_forget(void) {
    current_round++;
    if (real_is_served() && interp_is_there()) {
        pauses_gil_is_off();
    }
    is_off = pauses_gil_was() == PAUSES_GIL_OFF; /* also when the interpreter is gone */
    may_ask = real_is_served() && interp_is_there() && !interp_has_one_gil();
    if (may_ask) {
        thread_reads_by_file();
    }
}

bool timeline_gils_is_off(void) {
    return is_off;
}

/* Interpreters are so large that malloc puts each on pages of its own, most of them at the same offset. */
static struct kept *place_of(const void *interpreter) {
    uint64_t hash = (uintptr_t)interpreter * 0x9e3779b97f4a7c15u;
    return &table[(hash >> 32) % KEPT];
}

int64_t timeline_gils_of(const void *interpreter) {
    struct kept *kept = place_of(interpreter);
    if (!interpreter) {
        return GIL_NOT_TOLD;
    }
    if (kept->interpreter != interpreter) {
        *kept = (struct kept){.interpreter = interpreter, .gil = GIL_NOT_TOLD};
    }
    if (may_ask && kept->round != current_round) {
        int64_t gil = gil_now_of_interpreter(interpreter);
        kept->gil = gil == GIL_NOT_TOLD ? kept->gil : gil;
        kept->round = current_round;
    }
    return kept->gil;
}

int64_t timeline_gils_of_state(const void *state) {
    return may_ask ? gil_now_of_state(state) : GIL_NOT_TOLD;
}
