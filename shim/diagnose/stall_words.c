#include "diagnose/stall_words.h"

#include <string.h>

#include "cpython/gil.h"
#include "cpython/real.h"
#include "system/symbol.h"

void stall_add_seconds(struct text *text, uint64_t nanoseconds) {
    text_add_decimal(text, nanoseconds / 1000000000u);
    text_add(text, ".");
    text_add_decimal(text, nanoseconds / 100000000u % 10);
    text_add(text, " s");
}

void stall_add_thread(struct text *text, pid_t tid, const char *python_name, const char *name) {
    text_add(text, "thread ");
    text_add_decimal(text, (uint64_t)tid);
    const char *known = python_name[0] ? python_name : name;
    if (known[0]) {
        text_add(text, " \"");
        text_add(text, known);
        text_add(text, "\"");
    }
}

void stall_add_gil(struct text *text, int64_t gil) {
    text_add(text, "the GIL");
    if (gil >= 0) {
        text_add(text, " of interpreter ");
        text_add_decimal(text, (uint64_t)gil);
    }
}

void stall_add_awaited(struct text *text, const struct waiter *waiter) {
    if (waiter->gil != GIL_PAUSE) {
        stall_add_gil(text, waiter->gil);
    } else {
        bool asks = waiter->is_unseen || waiter->call == REAL_INDEX_PyThreadState_New;
        text_add(text, asks ? "a pause of all threads" : "a pause of all threads to end");
    }
}

void stall_add_waiter(struct text *text, const struct waiter *waiter) {
    stall_add_thread(text, waiter->tid, waiter->python_name, waiter->name);
}

const char *stall_call_name(uint16_t call) {
    return call < REAL_API_COUNT ? real_api_names[call] : "a call";
}

void stall_add_library(struct text *text, const void *place) {
    if (place) {
        symbol_add_library(text, place);
    } else {
        text_add(text, "CPython");
    }
}

/* "(PyGILState_Ensure, called by libfoo.so!bar+0x12)" */
void stall_add_call(struct text *text, const struct waiter *waiter, const void *place) {
    text_add(text, "(");
    text_add(text, !waiter->is_unseen         ? stall_call_name(waiter->call)
                   : waiter->gil == GIL_PAUSE ? "in the interpreter"
                                              : "in the interpreter's eval loop");
    if (place) {
        text_add(text, waiter->is_unseen ? ", below " : ", called by ");
        symbol_add(text, place);
    }
    text_add(text, ")");
}

/* Adds "between liba.so and libb.so" or "in liba.so"; if they met in a third library, also ", inside libc.so". */
void stall_add_libraries(struct text *text, const void *one, const void *other, const void *inside) {
    char buffers[3][400];
    const char *names[3];
    const void *const places[3] = {one, other, inside ? inside : other};
    for (size_t i = 0; i < 3; i++) {
        struct text name = text_start(buffers[i], sizeof buffers[i]);
        stall_add_library(&name, places[i]);
        names[i] = text_end(&name);
    }
    if (strcmp(names[0], names[1]) == 0) {
        text_add(text, "in ");
        text_add(text, names[0]);
    } else {
        text_add(text, "between ");
        text_add(text, names[0]);
        text_add(text, " and ");
        text_add(text, names[1]);
    }
    if (strcmp(names[2], names[0]) != 0 && strcmp(names[2], names[1]) != 0) {
        text_add(text, ", inside ");
        text_add(text, names[2]);
    }
}
