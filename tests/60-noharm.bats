#!/usr/bin/env bats
# CPython's own tests of threads, the GIL, fork, finalization and the C API give the same results with and without the shim, test
# by test (tests/noharm/compare.py).

load helpers

# same_with_the_shim TAG [compare.py's options] -- [MODULE...]
same_with_the_shim() {
    local python options=()
    python=$(printf '%s\n' "${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" | awk -F '\t' -v tag="$1" '$1 == tag { print $5 }')
    require "no $1 here" [ -n "$python" ]
    require "$1 comes without the test package" "$python" -S -c 'import test.test_threading'
    shift
    while [ "${1:---}" != -- ]; do
        options+=("$1")
        shift
    done
    LIMIT=1700 without python3 "$ROOT/tests/noharm/compare.py" "${options[@]}" "$python" "$GILSHIM_LIB" "${@:2}"
    is_status 0
    has_line "test_threading * same*"
}

@test "CPython's own tests on 2.7" {
    same_with_the_shim 2.7
}

@test "CPython's own tests of threads on 3.11, debug, -X dev" {
    same_with_the_shim deb3.11-dbg -X dev -- test_threading test_thread test_threading_local test_fork1 test_atexit
}

@test "CPython's own tests on 3.8" {
    same_with_the_shim 3.8
}

@test "CPython's own tests on 3.11, static" {
    same_with_the_shim deb3.11
}

@test "CPython's own tests on 3.12" {
    same_with_the_shim 3.12
}

@test "CPython's own tests on 3.13" {
    same_with_the_shim 3.13
}

# The comparison itself: a preload that changes one result must be noticed.
@test "a preload that does harm is noticed" {
    local python
    python=$(printf '%s\n' "${GILSHIM_INTERPRETERS:-$(sh "$ROOT/tests/interpreters.sh")}" |
        awk -F '\t' '$1 ~ /^(3\.([89]|1[0-9])|deb3\.1[0-9])$/ && $5 != "-" { print $5; exit }')
    require "no interpreter from 3.8 on" [ -n "$python" ]
    require "it comes without the test package" "$python" -S -c 'import test.test_threading_local'
    cc -shared -fPIC -o "$BATS_TEST_TMPDIR/harm.so" -xc - <<'C'
int pthread_create(void *thread, const void *attributes, void *(*start)(void *), void *argument) {
    (void)thread, (void)attributes, (void)start, (void)argument;
    return 11;
}
C
    LIMIT=300 without python3 "$ROOT/tests/noharm/compare.py" -n 1 "$python" "$BATS_TEST_TMPDIR/harm.so" test_threading_local
    is_status 1
    has_line "1 modules, 1 differ"
    has_line "* passed without, * with the shim"
}
