#!/usr/bin/env bats
# What gilshim-inspect reads from the memory of a process about its CPython (shim/inspect/interpreter.h, python_stack.h) is what the
# program itself says: tests/inspect/compare.py.

load ../helpers

setup_file() {
    make -C "$ROOT" build/inspect/show >&2
}

# agrees SCENARIO
agrees() {
    require "$NEEDS_KERNEL" has_kernel
    case $1 in hold | moved) ! is_free_threaded || local -x PYTHON_GIL=1 ;; esac
    limited 100 python3 -E "$ROOT/tests/inspect/compare.py" "$ROOT/build/inspect/show" "$1" "$PYTHON"
    is_status 0
}

@test "the Python stacks of threads, which thread has which state, and that the GIL is free" {
    agrees stacks
}

@test "who holds the GIL, in a C function that sleeps with it, and who waits for it" {
    agrees hold
}

# Up to 3.11 no thread has a variable of its own that says so; nor is it known where AArch64's are.
@test "which thread has attached a state that another one made" {
    python_before 3.12 && return
    [ "$(uname -m)" = x86_64 ] || return 0
    agrees moved
}

# 3.8's are the first that can be made from Python.
@test "the states and the GIL of another interpreter" {
    python_before 3.8 && return
    agrees subinterpreter
}

# 2.7 has no variable that says so.
@test "the interpreter is finalizing" {
    python_before 3.6 && return
    agrees finalizing
}

@test "the same in a file without .symtab" {
    export INSPECT_STRIPPED=1
    agrees stacks
    agrees hold
}

@test "the table of offsets is what this interpreter's headers say" {
    local rows
    rows=$("$ROOT/tests/inspect/layouts.sh" "$PY_INCLUDE")
    [ -n "$rows" ]
    status=0
    output=$(grep -vxFf "$ROOT/shim/cpython/layouts.def" <<<"$rows") || status=$?
    [ "$status" -eq 1 ] || told "not in shim/cpython/layouts.def (tests/inspect/layouts.sh says how it gets there)"
}
