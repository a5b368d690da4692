#!/usr/bin/env bats
# PEP 788's PyThreadState_Ensure and Release (3.15) mixed with PyGILState_*, hand-made thread states and an old pybind11
# (tests/fixtures/tokens), in a module that exports PyModExport_ (PEP 793).

load ../helpers

tokens() { command=("$PYTHON" -S "$ROOT/tests/fixtures/tokens/run.py" "$FIXTURES" "$@"); }
has_tokens() { require "no PyThreadState_Ensure before 3.15" test -e "$FIXTURES/giltokens.so"; }

@test "PyThreadState_Ensure with a second state in it, under it, on a pthread: dies without the shim" {
    has_tokens
    local program
    for program in over-another second-inside foreign; do
        tokens "$program"
        LIMIT_BARE=5 fails_without "${command[@]}"
        works_with "${command[@]}"
        has_line "ok $program"
    done
}

@test "PyThreadState_Ensure nested, in a release block, with an old pybind11, in a sub-interpreter: as without the shim" {
    has_tokens
    local program
    for program in nested released with-old-library sub-interpreter; do
        tokens "$program"
        without "${command[@]}"
        is_status 0
        SHIM_OPTIONS=verbosity=1 works_with "${command[@]}"
        has_line "ok $program"
    done
}

@test "all of them in one process" {
    has_tokens
    tokens sub-interpreter foreign nested with-old-library second-inside released over-another foreign sub-interpreter
    works_with "${command[@]}"
    works_with env PYTHONMALLOC=debug PYTHONDEVMODE=1 "${command[@]}"
}
