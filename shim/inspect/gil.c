/* The GILs of the CPython that is being explained. They were read when it was watched. */
#include "cpython/gil.h"

#include "inspect/choice.h"
#include "inspect/gil.h"
#include "inspect/pause.h"

int64_t gil_id(const struct interpreter_picture *picture, size_t gil) {
    int64_t id = GIL_NOT_TOLD;
    for (size_t i = 0; picture->gil_count > 1 && i < picture->interpreter_count; i++) {
        const struct interpreter *interpreter = &picture->interpreters[i];
        if (interpreter->gil == gil && interpreter->has_own_gil) {
            id = interpreter->id;
        }
    }
    return id;
}

void gil_look(void) {
}

bool gil_are_several(void) {
    return choice_python()->picture.gil_count > 1;
}

bool gil_is_off(void) {
    const struct watched_python *python = choice_python();
    struct pause_seen seen;
    return python->gil_count && python->gils[0].now.lock == GIL_NONE && pause_read(python, &seen);
}

int64_t gil_of_state(const void *state) {
    const struct interpreter_picture *picture = &choice_python()->picture;
    const struct interpreter_state *found = state ? interpreter_state_at(picture, (uintptr_t)state) : NULL;
    return found ? gil_id(picture, picture->interpreters[found->interpreter].gil) : GIL_NOT_TOLD;
}

int64_t gil_of_wait(const struct thread_look *look) {
    const struct interpreter_picture *picture = &choice_python()->picture;
    size_t gil;
    if (!thread_is_in_futex(look) || interpreter_waits_for(picture, look->arguments[0], &gil) == WAIT_ELSEWHERE) {
        return GIL_NOT_TOLD;
    }
    return gil_id(picture, gil);
}

static bool has_pause_begun;

bool gil_pause_has_begun(void) {
    return has_pause_begun;
}

bool gil_read_holder(int64_t gil, PyThreadState **state) {
    const struct watched_python *python = choice_python();
    struct pause_seen seen;
    if (gil == GIL_PAUSE) {
        bool is_one = pause_read(python, &seen);
        has_pause_begun = is_one && seen.has_begun;
        *state = (PyThreadState *)(!is_one ? 0 : seen.has_begun ? seen.requester : seen.delayer);
        return true;
    }
    for (size_t i = 0; i < python->gil_count; i++) {
        if (gil >= 0 && gil_id(&python->picture, i) == gil) {
            *state = (PyThreadState *)python->gils[i].now.holder;
            return true;
        }
    }
    return false;
}
