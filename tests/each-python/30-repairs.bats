#!/usr/bin/env bats
# Each repair by name: a program (tests/fixtures/shapes) hangs, dies or goes wrong without the shim, works with it, and fails again
# if this repair or all repairs are switched off. On a CPython that has fixed the problem itself, the program always works.

load ../helpers

# program FORM SHAPE: sets `command`.
program() {
    case $1 in
    module) command=("$PYTHON" -S "$ROOT/tests/fixtures/shapes/run.py" "$FIXTURES" "$2") ;;
    embed) command=("$FIXTURES/embed" "$2") ;;
    pybind-module) command=("$PYTHON" -S "$ROOT/tests/fixtures/shapes/run-pybind.py" "$FIXTURES" "$2") ;;
    pybind-embed)
        # shellcheck disable=SC2206 # two words: the shape and its function
        command=("$FIXTURES/embed-pybind" $2)
        ;;
    esac
    [ -e "$FIXTURES/embed" ] || case $1 in *embed) return 1 ;; esac
}

# What hangs costs its whole time limit, so the runs that fail go together.
fails_unless_repaired() {
    local off=$1 run runs=() failed=0
    shift
    fails_without "$@" &
    runs+=($!)
    SHIM_OPTIONS="repair=all,-$off" fails_with "$@" &
    runs+=($!)
    SHIM_OPTIONS="repair=none" fails_with "$@" &
    runs+=($!)
    for run in "${runs[@]}"; do wait "$run" || failed=1; done
    return "$failed"
}

# repairs NAME FORM SHAPE
repairs() {
    local command LIMIT=20 LIMIT_BARE=3
    program "$2" "$3" || return 0
    works_with "${command[@]}"
    has_line "ok *"
    fails_unless_repaired "$1" "${command[@]}"
}

# The same where the class is none any more: the program works, with the repair and without.
needs_no_repair() {
    local command LIMIT=20
    program "$2" "$3" || return 0
    without "${command[@]}"
    is_status 0
    works_with "${command[@]}"
    SHIM_OPTIONS="repair=all,-$1" works_with "${command[@]}"
}

# Up to 3.11 the first state of a thread stays in PyGILState's slot; later the slot follows what is attached.
repairs_before_3_12() {
    if python_before 3.12; then repairs "$@"; else needs_no_repair "$@"; fi
}

# The same for pybind11's own programs.
repairs_before_pybind_3_1() {
    if pybind_before 3.1; then repairs "$@"; else needs_no_repair "$@"; fi
}

# asserts_in_debug_builds FUNCTION FORM SHAPE: from 3.12 on they die before the hang or the fatal error of release builds: the
# state is noted to be in a slot (bound_gilstate), and it is not in this thread's.
asserts_in_debug_builds() {
    local command
    if [ "$PY_BUILD" != debug ] || python_before 3.12 || ! may_use_anothers_state || ! program "$2" "$3"; then return 0; fi
    without "${command[@]}"
    has_line "*: $1: Assertion *tstate == gilstate_*' failed."
}

repairs_moved() {
    local command
    if may_use_anothers_state; then
        repairs moved "$@"
    elif program "$@"; then
        asserts_anothers_state "${command[@]}"
    fi
}

has_pybind() {
    require "pybind11 has no 2.7 any more" test "$PY_VERSION" != 2.7
    require "no pybind11 headers (pybind11-dev)" test -e "$FIXTURES/gilpybind.so"
}

@test "duplicate: a second state of this thread, module" { repairs_before_3_12 duplicate module duplicate; }
@test "duplicate: a second state of this thread, embedding" { repairs_before_3_12 duplicate embed main-duplicate; }
@test "duplicate: a state swapped in and out, module" { repairs_before_3_12 duplicate module swapped; }
@test "duplicate: a dissociated thread acquires, embedding" { repairs_before_3_12 duplicate embed dissociated; }

@test "held: another state over the attached one, module" { repairs held module held; }
@test "held: another state over the attached one, embedding" { repairs held embed held; }
@test "held: the attached state once more, module" { repairs held module same-state; }
@test "held: the attached state once more, on a pthread, embedding" { repairs held embed foreign-same-state; }

@test "subinterp: PyGILState_Ensure in a sub-interpreter, module" { repairs_before_3_12 subinterp module subinterpreter-held; }
@test "subinterp: with the sub-interpreter's state saved, embedding" { repairs_before_3_12 subinterp embed subinterpreter-saved; }

@test "moved: a state goes to another OS thread, module" {
    repairs_moved module moved
    asserts_in_debug_builds tstate_activate module moved
}
@test "moved: a state goes to another OS thread, embedding" {
    repairs_moved embed moved-both
    asserts_in_debug_builds tstate_activate embed moved-both
}
@test "moved: a thread makes the states of others, embedding" {
    repairs_moved embed made-for-others
    asserts_in_debug_builds unbind_gilstate_tstate embed made-for-others
}
@test "moved: with pybind11 itself" {
    has_pybind
    repairs_moved pybind-module moved
}

@test "share: threading.local in an old library's acquire, module" { repairs share module thread-local; }
@test "share: threading.local in an old library's acquire, embedding" { repairs share embed thread-local; }

@test "null: RestoreThread(NULL) where another library has saved the state, module" { repairs null module thread-null; }
@test "null: RestoreThread(NULL) where another library has saved the state, embedding" { repairs null embed null; }

@test "cached: a library's first state is freed, module" { repairs cached module cached; }
@test "cached: a library's first state is freed, embedding" { repairs cached embed cached-at-once; }
@test "cached: with pybind11 itself, module" {
    has_pybind
    repairs_before_pybind_3_1 cached pybind-module cached
}
@test "cached: with pybind11 itself, embedding" {
    has_pybind
    repairs_before_pybind_3_1 cached pybind-embed cached
}

# 3.13 puts a plain Py_Finalize right, but not what libraries do before it.
@test "finalize: by a thread whose state is saved, module" {
    if script_may_finalize; then repairs finalize module finalize-pybind; else finalizing_script_dies; fi
}
@test "finalize: by a thread whose state is saved, embedding" { repairs finalize embed finalize-pybind; }
# 3.13 puts a plain Py_Exit right.
@test "finalize: Py_Exit by a thread whose state is saved" {
    if python_before 3.13; then repairs finalize embed exit-saved; else needs_no_repair finalize embed exit-saved; fi
}
@test "finalize: with pybind11 itself, issue 1276" {
    has_pybind
    repairs_before_pybind_3_1 finalize pybind-embed "issue acquire"
}
