/* The thunks: every kind of argument and result passes, with and without a question; a thunk stays in front of its target until
 * all are taken back. */
#include "system/thunks.h"

#include <stdarg.h>
#include <stdint.h>

#include "test.h"

static unsigned questions, last;
static const void *last_caller, *last_frame;

/* Overwrites all registers that a function may, those of arguments included. */
static void spoil(void) {
#if defined(__x86_64__)
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm1, %%xmm1; pcmpeqd %%xmm2, %%xmm2; pcmpeqd %%xmm3, %%xmm3;"
                     "pcmpeqd %%xmm4, %%xmm4; pcmpeqd %%xmm5, %%xmm5; pcmpeqd %%xmm6, %%xmm6; pcmpeqd %%xmm7, %%xmm7;"
                     "mov $-1, %%rax; mov %%rax, %%rdi; mov %%rax, %%rsi; mov %%rax, %%rdx; mov %%rax, %%rcx;"
                     "mov %%rax, %%r8; mov %%rax, %%r9; mov %%rax, %%r10; mov %%rax, %%r11"
                     :
                     :
                     : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "rax", "rdi", "rsi", "rdx",
                       "rcx", "r8", "r9", "r10", "r11");
#else
    __asm__ volatile("movi v0.16b, #255; movi v1.16b, #255; movi v2.16b, #255; movi v3.16b, #255;"
                     "movi v4.16b, #255; movi v5.16b, #255; movi v6.16b, #255; movi v7.16b, #255;"
                     "mov x0, #-1; mov x1, #-1; mov x2, #-1; mov x3, #-1; mov x4, #-1; mov x5, #-1; mov x6, #-1;"
                     "mov x7, #-1; mov x8, #-1; mov x16, #-1; mov x17, #-1"
                     :
                     :
                     : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7",
                       "x8", "x16", "x17");
#endif
}

static void judge(unsigned which, const void *caller, const void *frame) {
    questions++;
    last = which;
    last_caller = caller;
    last_frame = frame;
    spoil();
}

static long words(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j) {
    return a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 && g == 7 && h == 8 && i == 9 && j == 10 ? 4711 : 0;
}
static double doubles(double a, double b, double c, double d, double e, double f, double g, double h, double i) {
    return a == 1.5 && b == 2.5 && c == 3.5 && d == 4.5 && e == 5.5 && f == 6.5 && g == 7.5 && h == 8.5 ? i : -1;
}
struct pair {
    double first, second;
};
struct large {
    long values[9];
};
static struct pair pair_of(struct pair one, struct pair two) {
    return (struct pair){one.first + two.first, one.second + two.second};
}
static struct large large_of(struct large one, long add) { /* its result is written where another register says */
    for (int i = 0; i < 9; i++) {
        one.values[i] += add;
    }
    return one;
}
static double sum(int count, ...) { /* a double and an int, `count` times */
    va_list list;
    double total = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++) {
        total += va_arg(list, double);
        total += va_arg(list, int);
    }
    va_end(list);
    return total;
}
static int nested(int depth);
static int (*nested_thunk)(int);
static int nested(int depth) {
    return depth ? nested_thunk(depth - 1) + 1 : 0;
}

static const void *thunk[6];
static unsigned number[6];
static const void *const targets[6] = {(const void *)words,    (const void *)doubles, (const void *)pair_of,
                                       (const void *)large_of, (const void *)sum,     (const void *)nested};

#define AS(type, i) ((type)(uintptr_t)thunk[i])
static void call_all(void) {
    struct pair pair = AS(struct pair(*)(struct pair, struct pair), 2)((struct pair){1.25, 2.5}, (struct pair){4, 8});
    struct large large = AS(struct large(*)(struct large, long), 3)((struct large){{1, 2, 3, 4, 5, 6, 7, 8, 9}}, 100);
    CHECK(AS(long (*)(long, long, long, long, long, long, long, long, long, long), 0)(1, 2, 3, 4, 5, 6, 7, 8, 9, 10) ==
          4711);
    CHECK(AS(double (*)(double, double, double, double, double, double, double, double, double),
             1)(1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.25) == 9.25);
    CHECK(pair.first == 5.25 && pair.second == 10.5);
    CHECK(large.values[0] == 101 && large.values[8] == 109);
    CHECK(AS(double (*)(int, ...), 4)(10, .5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5,
                                      10) == 105);
    CHECK(nested_thunk(100) == 100);
}
enum { CALLS = 5 + 101 }; /* of call_all */

static void thunks_stand_in_front_of_their_targets(void) {
    for (int i = 0; i < 6; i++) {
        thunk[i] = thunk_take(targets[i], &number[i]);
        CHECK(thunk[i] && thunk_target(number[i]) == targets[i]);
        CHECK(thunk_behind((uintptr_t)thunk[i]) == (uintptr_t)targets[i]);
    }
    CHECK(thunk_behind((uintptr_t)words) == (uintptr_t)words);
    nested_thunk = AS(int (*)(int), 5);
}

static void a_call_that_asks_passes_all_arguments_and_results(void) {
    questions = 0;
    call_all();
    CHECK(questions == CALLS);
    CHECK(last == number[5]);
    CHECK((uintptr_t)last_caller - (uintptr_t)nested < 4096); /* the innermost call is nested's own */
    CHECK(((const void *const *)last_frame)[1] == last_caller);
}

static void a_call_that_passes_does_so_too(void) {
    static const void *state = &questions;
    questions = 0;
    thunk_pass = (struct thunk_pass){&state, state};
    call_all();
    CHECK(questions == 0);
    *(const void *volatile *)&state = &last; /* another state is there */
    nested_thunk(0);
    CHECK(questions == 1);
    thunk_pass.value = &last;
    nested_thunk(0);
    CHECK(questions == 1);
    thunk_close();
    nested_thunk(0);
    CHECK(questions == 2);
}

static void they_run_out_and_can_be_taken_back(void) {
    unsigned taken = 6, again = 0;
    while (thunk_take(targets[0], &again)) {
        taken++;
    }
    CHECK(taken == THUNK_COUNT && again == THUNK_COUNT - 1);
    thunk_take_back();
    CHECK(thunk_take(targets[1], &again) == thunk[0] && again == 0 && thunk_target(0) == targets[1]);
}

int main(void) {
    thunk_judge = judge;
    RUN(thunks_stand_in_front_of_their_targets);
    RUN(a_call_that_asks_passes_all_arguments_and_results);
    RUN(a_call_that_passes_does_so_too);
    RUN(they_run_out_and_can_be_taken_back);
    return test_end();
}
