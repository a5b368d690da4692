/* The whole of the unit test framework. A test is a function; in it CHECK what must hold. Reports in TAP.

   static void adds(void) { CHECK(1 + 1 == 2); }
   int main(void) { RUN(adds); return test_end(); } */
#pragma once

#include <stdio.h>

static int test_passed, test_failed, test_faults;

#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) {                                                        \
            if (test_faults++ < 5) /* in a loop, the rest is the same again */     \
                printf("# %s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                          \
    } while (0)

#define RUN(function) test_run(#function, function)

static inline void test_run(const char *name, void (*function)(void)) {
    test_faults = 0;
    function();
    if (test_faults)
        test_failed++;
    else
        test_passed++;
    printf("%s %d - %s\n", test_faults ? "not ok" : "ok", test_passed + test_failed, name);
    fflush(stdout);
}

static inline int test_end(void) {
    printf("%d passed, %d failed, 0 skipped\n", test_passed, test_failed);
    return test_failed != 0;
}
