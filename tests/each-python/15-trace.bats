#!/usr/bin/env bats
# A long program that does not mix GIL APIs does not notice the shim: second and longer proof (tests/fixtures/unmixed). It prints
# each call of each function of shim/api.def with its result, the thread states in the slot and attached, their counters, errno and
# PyGILState_Check. It has six threads in lock step, forks whose children go on, sub-interpreters, and three lives of the
# interpreter.

load ../helpers

# same_trace LINES LIVES CHILDREN CMD...
same_trace() {
    local least=$1 lives=$2 children=$3 how
    shift 3
    without "$@"
    is_status 0
    printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/bare"
    [ "${#lines[@]}" -ge "$least" ] || told "the trace has but ${#lines[@]} lines"
    [ "$(count_lines '=== life *')" = "$lives" ] || told "not all lives were lived"
    [ "$(count_lines '--- the child ended with status 0x0')" = "$children" ] || told "not all children ended well"
    has_no_line "*Python code failed*"
    for how in bare shim history; do
        case $how in
        bare) without "$@" ;;
        shim) works_with "$@" ;;
        history) SHIM_OPTIONS=history=64 works_with "$@" ;;
        esac
        is_status 0
        printf '%s\n' "$output" >"$BATS_TEST_TMPDIR/$how-again"
        if ! cmp -s "$BATS_TEST_TMPDIR/bare" "$BATS_TEST_TMPDIR/$how-again"; then
            output=$(diff -u "$BATS_TEST_TMPDIR/bare" "$BATS_TEST_TMPDIR/$how-again" | head -n 40)
            told "two traces differ, the second: $how"
        fi
    done
}

@test "every step of one life is the same, module" {
    # shellcheck disable=SC2030,SC2031 # each test is a subshell
    export PYTHONPATH=$FIXTURES
    same_trace 2300 1 2 "$PYTHON" -S -c 'import sys, unmixed; sys.exit(unmixed.play())'
}

@test "every step of three lives is the same, embedding" {
    require "this static interpreter has no archive to link" [ -e "$FIXTURES/unmixed-embed" ]
    same_trace 4700 3 4 "$FIXTURES/unmixed-embed"
}

# A library that deletes its state and empties its key right after, as pybind11 does, is no case for `cached`.
@test "told everything, it tells of no repair but those of sub-interpreters" {
    # shellcheck disable=SC2030,SC2031 # each test is a subshell
    export PYTHONPATH=$FIXTURES
    SHIM_OPTIONS=verbosity=1 works_with "$PYTHON" -S -c 'import sys, unmixed; sys.exit(unmixed.play())'
    has_line "=== life 0"
    has_no_line "*repaired [!s]*"
    has_no_line "*repaired share*"
}
