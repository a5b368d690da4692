#include "inspect/pause.h"

#include <time.h>

#include "inspect/target.h"

static bool read_at(uintptr_t address, int32_t offset, void *to, size_t size) {
    return offset >= 0 && target_read(address + (uintptr_t)offset, to, size);
}

static bool read_one(const struct layout *layout, uintptr_t address, struct pause_seen *seen) {
    uint8_t requested = 0, stopped = 0;
    bool is_read = read_at(address, layout->pause_requested, &requested, 1) &&
                   read_at(address, layout->pause_stopped, &stopped, 1) &&
                   read_at(address, layout->pause_requester, &seen->requester, sizeof seen->requester);
    seen->has_begun = stopped == 1;
    return is_read && requested == 1 && stopped <= 1;
}

/* Returns a state that is attached now, and is not the requester's; 0: there is none. `address`: of an interpreter, or 0: any. */
static uintptr_t find_attached(const struct watched_python *python, uintptr_t address, uintptr_t requester) {
    const struct interpreter_picture *picture = &python->picture;
    for (size_t i = 0; i < picture->state_count; i++) {
        const struct interpreter_state *state = &picture->states[i];
        int32_t attachment = STATE_DETACHED;
        bool is_of_it = !address || picture->interpreters[state->interpreter].address == address;
        if (is_of_it && state->address != requester &&
            read_at(state->address, python->cpython.layout.state_attachment, &attachment, sizeof attachment) &&
            attachment == STATE_ATTACHED) {
            return state->address;
        }
    }
    return 0;
}

bool pause_read(const struct watched_python *python, struct pause_seen *seen) {
    const struct interpreter_cpython *cpython = &python->cpython;
    const struct layout *layout = &cpython->layout;
    *seen = (struct pause_seen){.has_begun = false};
    if (!python->has_picture || !cpython->is_free_threaded || layout->runtime_pause < 0 || layout->interp_pause < 0 ||
        !python->gil_count) {
        return false;
    }
    bool is_one = read_one(layout, cpython->runtime + (uintptr_t)layout->runtime_pause, seen);
    uintptr_t interpreter = 0;
    for (size_t i = 0; i < python->picture.interpreter_count && !is_one; i++) {
        interpreter = python->picture.interpreters[i].address;
        is_one = read_one(layout, interpreter + (uintptr_t)layout->interp_pause, seen);
    }
    seen->delayer = is_one && !seen->has_begun ? find_attached(python, interpreter, seen->requester) : 0;
    return is_one;
}

bool pause_lasts(const struct watched_python *python, struct pause_seen *seen) {
    enum { LOOKS = 25, PERIOD_NS = 10000000 };
    bool is_same = pause_read(python, seen);
    for (int i = 0; is_same && i < LOOKS && !target_source()->is_core; i++) {
        struct timespec period = {0, PERIOD_NS};
        struct pause_seen again;
        nanosleep(&period, NULL);
        is_same = pause_read(python, &again) && again.has_begun == seen->has_begun &&
                  again.requester == seen->requester && again.delayer == seen->delayer;
    }
    return is_same && (seen->has_begun ? seen->requester : seen->delayer);
}
