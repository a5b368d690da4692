#!/usr/bin/env bats
# The shim's own memory errors and leaks, in a short storm (tests/fixtures/storm) and in some shapes: built with gcc's sanitizers, and
# the normal build under valgrind. CPython and the fixtures are not instrumented, so theirs are not reported.
# each-python/75-storm.bats checks that threads that come and go leave nothing behind.

load helpers

setup_file() {
    # Those with the same sanitizer share what it has built.
    export BATS_NO_PARALLELIZE_WITHIN_FILE=true
    use_python shared
    PROGRAMS=$BATS_FILE_TMPDIR/programs
    SANITIZED=$ROOT/build/sanitized
    export PROGRAMS SANITIZED
    "$ROOT/tests/nesting/run" --tag "$PY_TAG" --list --random 200 --tree-depth 5 --size 10 --seed 75 \
        --without keepA,keepB,detach >"$PROGRAMS"
}

# ---- what the sanitizers see ----

# The runtime's library of gcc: what is not there is given back as it was asked for.
runtime() { gcc -print-file-name="lib$1.so"; }
has_runtime() { [ -e "$(runtime "$1")" ]; }
# Their shadow memory lies at fixed addresses, which kernels that scatter widely may have taken.
gathered() {
    local unscattered=()
    ! setarch -R true 2>/dev/null || unscattered=(setarch -R)
    LD_PRELOAD='' limited "${LIMIT:-240}" "${unscattered[@]}" env "$@"
}
starts() { gathered LD_PRELOAD="$(runtime "$1")" "$PYTHON" -S -c '' && is_status 0; }

# sanitizer asan|tsan: sets SANITIZER and GILSHIM_LIB, for `sanitized`.
sanitizer() {
    local names=thread
    [ "$1" = tsan ] || names=address,undefined
    SANITIZER=$1
    require "needs gcc with lib$1" has_runtime "$1"
    require "needs a kernel that leaves the sanitizers their addresses" starts "$1"
    GILSHIM_LIB=$SANITIZED/$1/libgilshim.so
    MAKEFLAGS='' LD_PRELOAD='' timeout -s KILL 500 make -s -C "$ROOT" CC=gcc CFLAGS='-O1 -g' SANITIZE="$names" \
        BUILD="$SANITIZED/$1" all 3>&- >/dev/null
}

# The runtimes end with a status of their own where they have something to tell.
sanitized() {
    gathered LD_PRELOAD="$(runtime "$SANITIZER"):$GILSHIM_LIB" GILSHIM_OPTIONS="${SHIM_OPTIONS:-}" MALLOC_ARENA_MAX=2 \
        STORM_PATIENCE=100 TSAN_OPTIONS=ignore_noninstrumented_modules=1:exitcode=66 \
        ASAN_OPTIONS=detect_leaks=0:exitcode=66 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=66 "$@"
}
is_clean() {
    is_status 0 && has_no_line '*ThreadSanitizer*' && has_no_line '*AddressSanitizer*' && has_no_line '*runtime error:*'
}

# storm SEED PROGRAMS: four threads play so many programs each. What runs it is in `by`.
storm() {
    "$by" sh -c 'exec "$0" "$@" <"$PROGRAMS"' \
        "$PYTHON" -S "$ROOT/tests/fixtures/storm/storm.py" "$FIXTURES/gilstorm.so" 4 "$1" "$2" 0
}

# With all that records and watches: its threads read what the others write.
watching() { echo "summary=1:history=64:stall=0.01:timeline=$BATS_TEST_TMPDIR/trace:verbosity=2:log_path=$BATS_TEST_TMPDIR/log"; }

storms() {
    local by=sanitized
    storm 1276 12
    is_clean
    has_line '* programs, * turns, 0 breaches'
    SHIM_OPTIONS=$(watching) storm 2888 12
    is_clean
    has_line '* programs, * turns, 0 breaches'
    grep -q 'summary$' "$BATS_TEST_TMPDIR"/log.*
    [ -s "$(echo "$BATS_TEST_TMPDIR"/trace.*)" ]
}

@test "ThreadSanitizer has nothing to tell of a storm" {
    sanitizer tsan
    storms
}

@test "AddressSanitizer and UndefinedBehaviorSanitizer have nothing to tell of a storm" {
    sanitizer asan
    storms
}

@test "AddressSanitizer and UndefinedBehaviorSanitizer have nothing to tell of the shapes" {
    sanitizer asan
    local shape
    for shape in moved held cached subinterpreter-swap issue-1276; do
        sanitized "$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$shape"
        is_clean
        has_line 'ok *'
    done
}

# faulty FLAG...: a preload of the shim's name whose constructor does what the sanitizers and valgrind are for.
faulty() {
    GILSHIM_LIB=$BATS_TEST_TMPDIR/libgilshim.so
    gcc -shared -fPIC -O0 -g "$@" -o "$GILSHIM_LIB" -xc - <<'C'
#include <pthread.h>
#include <stdlib.h>
static int count;
static void *add(void *times) {
    for (int i = 0; i < *(int *)times; i++) {
        count++;
    }
    return NULL;
}
__attribute__((constructor)) static void start(void) {
#ifdef RACE
    int times = 1000;
    pthread_t thread;
    pthread_create(&thread, NULL, add, &times);
    add(&times);
    pthread_join(thread, NULL);
#elif defined UNDEFINED
    volatile int shift = 40;
    count = 1 << shift;
#else
    volatile char *bytes = malloc(8);
    bytes[8] = (char)(add != NULL);
    free((char *)bytes);
#endif
}
C
}

@test "the sanitizers' reports are noticed" {
    local fault names failed
    for fault in tsan:RACE:thread asan:OVERFLOW:address,undefined asan:UNDEFINED:address,undefined; do
        IFS=: read -r SANITIZER fault names <<<"$fault"
        require "needs gcc with lib$SANITIZER" has_runtime "$SANITIZER"
        require "needs a kernel that leaves the sanitizers their addresses" starts "$SANITIZER"
        faulty -D"$fault" -fsanitize="$names"
        sanitized "$PYTHON" -S -c ''
        failed=0
        (is_clean) >/dev/null || failed=1
        [ "$failed" = 1 ] || told "no report of $fault"
    done
}

# ---- what valgrind sees ----

# Its errors go to a file as XML; with the whole stack, so that what CPython does wrong on the shim's order counts too.
valgrind_with() {
    rm -f "$BATS_TEST_TMPDIR"/errors.*
    export PYTHONMALLOC=malloc
    with_shim valgrind -q --fair-sched=yes --num-callers=60 --trace-children=yes \
        --xml=yes --xml-file="$BATS_TEST_TMPDIR/errors.%p" "$@"
}
# Prints the errors in whose stack the shim is; of lost memory, what the shim itself has allocated: XML comes with a search
# for it. False if there are any, or if valgrind did not come to its end.
has_no_errors() {
    local file
    for file in "$BATS_TEST_TMPDIR"/errors.*; do
        grep -q '^</valgrindoutput>' "$file" || told "valgrind has not ended: $file" || return 1
        awk -F '[<>]' '/^<error>/ { kind = stack = ""; frames = 0; is_ours = 0 }
            $2 == "kind" { kind = $3 }
            $2 == "frame" { frames++ }
            $2 == "fn" { stack = stack " " $3 }
            $2 == "obj" && $3 ~ /\/libgilshim\.so$/ && (kind !~ /^Leak_/ || frames == 2) { is_ours = 1 }
            /^<\/error>/ && is_ours { found = 1; if (told++ < 10) print kind ":" stack }
            END { exit found }' "$file" || return 1
    done
}

@test "valgrind finds nothing wrong in a storm" {
    local by=valgrind_with LIMIT=240
    require "needs valgrind" command -v valgrind
    require "up to 3.6 a thread state has words that nobody has written, and the shim looks through it" python_from 3.7
    export STORM_PATIENCE=200
    storm 1276 2
    is_status 0
    has_line '* programs, * turns, 0 breaches'
    has_no_errors
}

# A string or a structure that ends up to eight bytes after the start of a page is where a look at the page may go too far:
# the path of a library in ld.so's memory was one.
blocks_read() {
    gcc -std=gnu11 -D_GNU_SOURCE -O1 -g -iquote "$ROOT/shim" -o "$BATS_TEST_TMPDIR/blocks" -xc - \
        "$ROOT"/shim/system/{thread,thread_self,thread_wait,text}.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "system/thread.h"
enum { LONGEST = 40 };
static char *end_of_block(size_t tail) {
    for (size_t size = LONGEST;; size++) {
        char *block = malloc(size);
        if ((size_t)(block + size) % 4096 == tail) {
            return (char *)memset(block, 'x', size) + size;
        }
        free(block);
    }
}
int main(void) {
    char copy[64];
    size_t read = 0;
    for (size_t tail = 0; tail <= 9; tail++) {
        char *end = end_of_block(tail);
        for (size_t length = 12; length <= LONGEST; length++) {
            read += thread_read_memory(end - length, copy, length);
            end[-1] = '\0';
            read += thread_read_string(end - length, copy, sizeof copy) && strlen(copy) == length - 1;
        }
    }
    /* What is longer than memory has addresses, and what begins at none. */
    read += thread_read_memory(copy, copy, (size_t)-1) || thread_read_memory((void *)-8, copy, 16);
    printf("read %zu\n", read);
}
C
}
@test "valgrind finds nothing wrong in looks at the ends of allocated blocks" {
    require "needs valgrind" command -v valgrind
    blocks_read
    LIMIT=120 without valgrind -q --error-exitcode=9 "$BATS_TEST_TMPDIR/blocks"
    is_status 0
    has_line 'read 580'
}

@test "valgrind's errors are noticed" {
    require "needs valgrind" command -v valgrind
    faulty -DOVERFLOW
    LIMIT=120 valgrind_with true
    is_status 0
    local failed=0
    (has_no_errors) >/dev/null || failed=1
    [ "$failed" = 1 ]
}
